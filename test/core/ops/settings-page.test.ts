/** The page of settings is what the table of settings gives; each setting is explained there. */
import t from 'tap'
import { settingsPage } from '../../../core/ops/settings-page.ts'
import { flagOf, settingList } from '../../../core/ops/settings.ts'

t.test('the page has each setting with its option, variable and default', async (t) => {
  const page = settingsPage()
  for (const setting of settingList) {
    const { env, default: given, isEnvironmentOnly } = setting
    t.match(page, `## \`${isEnvironmentOnly ? env : flagOf(setting)}\``, env)
    t.match(page, `* **Variable:** \`${env}\``)
    if (given !== '') t.match(page, `* **Default:** \`${given}\`.`, env)
  }
})

t.test('a quantity says what a larger and a smaller value do', async (t) => {
  for (const { env, default: given, larger, smaller } of settingList) {
    const isQuantity = /^\d+[A-Za-z]*$/.test(given)
    t.equal(larger !== undefined, isQuantity, env)
    t.equal(smaller !== undefined, isQuantity, env)
    for (const text of [larger, smaller]) t.ok(text?.endsWith('.') ?? true, env)
  }
})
