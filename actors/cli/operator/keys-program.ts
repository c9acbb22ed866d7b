/** `busbar keys`: the command lines of rotate, replace, status and accept-counter. */
import { Option, type Command } from 'commander'
import {
  addConfigOption,
  addOpsOption,
  addPlaceOptions,
  type Place,
  type Print,
} from '../shared-options.ts'
import { withLedger } from './with-ledger.ts'

/** Adds `keys`. */
export function addKeysCommands(program: Command, { out }: { out: Print }): void {
  const keys = program.command('keys').description('keys of devices, and what seals them')
  addRotate(keys, out)
  addReplace(keys, out)
  addStatus(keys, out)
  addAcceptCounter(keys, out)
}

function addRotate(keys: Command, out: Print): void {
  addConfigOption(keys.command('rotate'))
    .description(
      'write a new key-encryption key as the first line of the file, which is made when it is not there; running brokers take it and seal again',
    )
    .addOption(
      new Option('--key-encryption-key-file <file>', 'outside every data directory')
        .env('BUSBAR_KEY_ENCRYPTION_KEY_FILE')
        .makeOptionMandatory(),
    )
    .action(async ({ keyEncryptionKeyFile: file }: { keyEncryptionKeyFile: string }) => {
      const { rotateKeyFile } = await import('../../../core/ops/key-encryption-keys.ts')
      const { count, name } = rotateKeyFile(file)
      out(
        `${file} has ${count} ${count === 1 ? 'key' : 'keys'}, the first of them new, ${name}; keep the others until \`busbar keys status\` counts none older under ${name}`,
      )
    })
}

function addReplace(keys: Command, out: Print): void {
  addOpsOption(keys.command('replace'), "a broker's operators' door")
    .description('give devices new keys, wrapped under their master keys')
    .argument('<eui64...>', 'devices')
    .action(async (devices: string[], { ops }: { ops: string }) => {
      const { replaceKeysCommand } = await import('./keys-commands.ts')
      process.exitCode = await replaceKeysCommand(ops, devices, out)
    })
}

function addStatus(keys: Command, out: Print): void {
  addPlaceOptions(keys.command('status'))
    .description(
      'devices with keys: sealed under an older key-encryption key, being replaced, near the end of a counter',
    )
    .option('--json', 'one line of JSON', false)
    .action(async ({ json, ...where }: Place & { json: boolean }) => {
      const { clusterStatus } = await import('./cluster-status.ts')
      const { keysStatus } = await import('./keys-commands.ts')
      await withLedger(where, async ({ ledger, bus, cursors, partitionCount }) => {
        const ports = { ledger, bus, partitionCount, cursors: await cursors() }
        return keysStatus(await clusterStatus(ports), out, json)
      })
    })
}

function addAcceptCounter(keys: Command, out: Print): void {
  addOpsOption(keys.command('accept-counter'), "a broker's operators' door")
    .description(
      "accept the invocation counter of devices as it is now, after a device's own counter went back or is too far ahead; recorded on the ledger",
    )
    .argument('<eui64...>', 'devices')
    .option('--counter <n>', 'the lowest counter that Busbar sends with from now on')
    .action(async (devices: string[], options: { ops: string; counter?: string }) => {
      const { acceptCounterCommand } = await import('./keys-commands.ts')
      process.exitCode = await acceptCounterCommand(options, devices, out)
    })
}
