/** Profiles of devices: what a name gives, and what several give together. */
import t from 'tap'
import { deviceProfileOf, deviceProfiles } from '../../../core/inventory/device-profiles.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'

t.test('a name, none, and one that nobody knows', async (t) => {
  t.equal(deviceProfileOf(), deviceProfileOf(''))
  t.same(deviceProfileOf()?.invocationCounter, { obis: '0-0:43.1.0.255', client: 16 })
  t.equal(deviceProfileOf('dedicated-key')?.shape, 'dedicated')
  t.ok(deviceProfileOf('dedicated-key')?.invocationCounter, 'what it does not say is standard')
  for (const name of ['nobody', 'dedicated-key+nobody', 'constructor', '+', 'Standard'])
    t.equal(deviceProfileOf(name), undefined, name)
})

t.test('several together: the later one wins, and parts are joined', async (t) => {
  const profile = deviceProfileOf('dedicated-key+general-ciphering+hdlc-wide+hdlc-proposing')
  t.match(profile, { shape: 'general-global', hdlc: { addressOctets: 4, proposal: 'always' } })
  t.equal(profile?.description, deviceProfiles['hdlc-proposing'].description)
  t.same(deviceProfileOf('tag-authenticated+agreed-counter-zero')?.security, {
    authenticationOnly: 'apdu-tag',
    agreedKeyCounter: 'zero',
  })
  t.equal(deviceProfileOf('counter-untold')?.invocationCounter, undefined)
  t.equal(
    deviceProfileOf('counter-untold+clear-release')?.invocationCounter,
    undefined,
    'and stays so',
  )
})

t.test('each one has a description, and names objects that can be', async (t) => {
  for (const name of Object.keys(deviceProfiles)) {
    const profile = deviceProfileOf(name)!
    t.ok(profile.description.length > 10, name)
    if (profile.invocationCounter) t.equal(parseObis(profile.invocationCounter.obis).length, 6)
  }
})
