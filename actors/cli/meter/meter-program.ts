/** `busbar meter`: its command lines; what they do is loaded when it is asked for. */
import type { Command } from 'commander'
import { bareHost } from '../../../core/base/host-port.ts'
import { advised } from './advised-action.ts'
import type { ObjectOptions } from './meter-commands.ts'
import { addKeyOptions, addMeterOptions } from './meter-option-list.ts'
import type { ProfileOptions } from './meter-profile.ts'
import type { MeterOptions } from './option-texts.ts'
import type { ListeningTerminal, PushListenOptions } from './push-listen.ts'

/** Adds `meter`. */
export function addMeterCommands(program: Command, terminal: ListeningTerminal): void {
  const meter = program
    .command('meter')
    .description(
      'speak DLMS with one meter, without a broker; keys and password from the environment stay out of lists of processes',
    )
  addRead(meter, terminal)
  addWrite(meter, terminal)
  addInvoke(meter, terminal)
  addObjects(meter, terminal)
  addProfile(meter, terminal)
  addDeviceProfiles(meter, terminal)
  addPushListen(meter, terminal)
}

const meterCommand = (meter: Command, name: string, description: string): Command =>
  addMeterOptions(
    meter
      .command(name)
      .description(description)
      .argument('<address>', 'host:port, or the EUI-64 of a device in --devices'),
  )

const ofClass = [
  '--class <number>',
  'interface class; what objects of that name usually have',
] as const

function addRead(meter: Command, terminal: ListeningTerminal): void {
  meterCommand(meter, 'read', 'read one attribute; a register with scaler and unit')
    .argument('<obis>', 'logical name, 1-0:1.8.0.255')
    .option(...ofClass)
    .option('--attribute <name>', 'by name or number', '2')
    .action(
      advised(async (address: string, obis: string, options: ObjectOptions) => {
        const { readCommand } = await import('./meter-commands.ts')
        await readCommand(address, obis, options, terminal)
      }),
    )
}

function addWrite(meter: Command, terminal: ListeningTerminal): void {
  meterCommand(meter, 'write', 'write one attribute')
    .argument('<obis>', 'logical name')
    .argument(
      '<value>',
      'JSON in the words of the attribute, or {"axdr": "long-unsigned", "value": 5}',
    )
    .option(...ofClass)
    .option('--attribute <name>', 'by name or number', '2')
    .action(
      advised(async (address: string, obis: string, value: string, options: ObjectOptions) => {
        const { writeCommand } = await import('./meter-commands.ts')
        await writeCommand(address, obis, value, options, terminal)
      }),
    )
}

function addInvoke(meter: Command, terminal: ListeningTerminal): void {
  meterCommand(meter, 'invoke', 'invoke one method')
    .argument('<obis>', 'logical name')
    .argument('[parameter]', 'JSON in the words of the method')
    .option(...ofClass)
    .option('--method <name>', 'by name or number', '1')
    .action(
      advised(
        async (
          address: string,
          obis: string,
          parameter: string | undefined,
          options: ObjectOptions,
        ) => {
          const { invokeCommand } = await import('./meter-commands.ts')
          await invokeCommand(address, obis, parameter, options, terminal)
        },
      ),
    )
}

function addObjects(meter: Command, terminal: ListeningTerminal): void {
  meterCommand(meter, 'objects', 'list the objects that the association sees, with rights').action(
    advised(async (address: string, options: MeterOptions) => {
      const { objectsCommand } = await import('./meter-commands.ts')
      await objectsCommand(address, options, terminal)
    }),
  )
}

function addProfile(meter: Command, terminal: ListeningTerminal): void {
  meterCommand(meter, 'profile', 'print the rows of a profile')
    .argument('<obis>', 'logical name of the profile')
    .option('--from <time>', 'ISO 8601')
    .option('--to <time>', 'now when left out')
    .option('--entries <range>', 'rows by number, 1-10')
    .action(
      advised(async (address: string, obis: string, options: ProfileOptions) => {
        const { profileCommand } = await import('./meter-profile.ts')
        await profileCommand(address, obis, options, terminal)
      }),
    )
}

function addDeviceProfiles(meter: Command, terminal: ListeningTerminal): void {
  meter
    .command('device-profiles')
    .description('list what --profile knows')
    .action(async () => {
      const { deviceProfiles } = await import('../../../core/inventory/device-profiles.ts')
      for (const [name, { description }] of Object.entries(deviceProfiles))
        terminal.out(`${name.padEnd(26)} ${description}`)
    })
}

function addPushListen(meter: Command, terminal: ListeningTerminal): void {
  addKeyOptions(
    meter
      .command('push-listen')
      .description(
        'print what meters push by themselves: in the wrapper, HDLC or M-Bus, bare APDUs, identifications; until Ctrl-C. Without --suite it is that of the octets',
      )
      .option('--host <address>', 'where to listen', bareHost, '127.0.0.1')
      .option('--port <port>', 'of TCP, and of UDP with --udp; 0 for any', '4059')
      .option('--udp', 'listen for datagrams, too', false),
  )
    .option(
      '--counter <number>',
      'invocation counter to begin with, for confirmations that are ciphered; none is sent when left out',
    )
    .option('--count <count>', 'end after so many')
    .option('--wait-ms <ms>', 'end after so long; with --count, 1 when fewer have come')
    .option('--hex', 'show the octets, too', false)
    .option('--json', 'one line of JSON for each', false)
    .action(
      advised(async (options: PushListenOptions) => {
        const { pushListenCommand } = await import('./push-listen.ts')
        await pushListenCommand(options, terminal)
      }),
    )
}
