/** The commands `busbar dlms` and `busbar meter`: their words on the command line; what they do is loaded when it is asked for. */
import { existsSync, readFileSync } from 'node:fs'
import { Option, type Command } from 'commander'
import type { DecodeOptions } from './dlms-decode.ts'
import { bareHost } from '../../../core/base/host-port.ts'
import { hexIn } from './option-octets.ts'
import type { ObjectOptions } from './meter-commands.ts'
import type { MeterOptions } from './option-texts.ts'
import type { ProfileOptions } from './meter-profile.ts'
import type { ListeningTerminal, PushListenOptions } from './push-listen.ts'

/** What an action ends with, told so that a person with one meter knows what to do. */
const advised =
  <Arguments extends unknown[]>(action: (...given: Arguments) => Promise<void>) =>
  async (...given: Arguments): Promise<void> => {
    try {
      await action(...given)
    } catch (fault) {
      const { withAdvice } = await import('./meter-advice.ts')
      throw withAdvice(fault)
    }
  }

/** What is given, or stands in the file of that name, or on standard input. */
function textIn(given: string): string {
  if (given === '-') return readFileSync(0, 'utf8')
  return hexIn(given) === undefined && existsSync(given) ? readFileSync(given, 'utf8') : given
}

export function addDlmsCommands(program: Command, terminal: ListeningTerminal): void {
  program
    .command('dlms')
    .description('the codec for people')
    .command('decode')
    .description(
      'explain APDUs, wrapper, HDLC and M-Bus frames or COSEM data, one or many, field by field',
    )
    .argument(
      '<hex>',
      'hexadecimal digits, a log or hexdump with them, a file with that, or - for standard input',
    )
    .option('--key <hex>', 'global unicast encryption key')
    .option('--authentication-key <hex>', 'authentication key')
    .option('--dedicated-key <hex>', 'dedicated key of the association')
    .option('--master-key <hex>', 'master key, for keys that come wrapped')
    .option(
      '--keys <file>',
      'all keys as in an inventory, or a list of such: those that fit are found',
    )
    .option('--system-title <hex>', 'of the sender, where the octets do not name it')
    .option('--recipient-title <hex>', 'of the recipient, for agreed keys')
    .option('--full', 'show long octets whole', false)
    .option('--json', 'one line of JSON', false)
    .action(
      advised(async (hex: string, options: DecodeOptions) => {
        const { decodeLines } = await import('./dlms-decode.ts')
        for (const line of decodeLines(textIn(hex), options)) terminal.out(line)
      }),
    )

  const meter = program
    .command('meter')
    .description(
      'speak DLMS with one meter, without a broker; keys and password from the environment stay out of lists of processes',
    )

  /** Where keys come from, and whose they are. */
  const withKeys = (command: Command): Command =>
    command
      .option('--suite <number>', 'security suite: 0, 1 or 2')
      .option(
        '--keys <file>',
        'JSON as in an inventory: {"unicast": hex, "authentication": hex, "signing": PEM, …}',
      )
      .addOption(
        new Option('--unicast-key <hex>', 'global unicast encryption key').env(
          'BUSBAR_METER_UNICAST_KEY',
        ),
      )
      .addOption(
        new Option('--broadcast-key <hex>', 'global broadcast encryption key').env(
          'BUSBAR_METER_BROADCAST_KEY',
        ),
      )
      .addOption(
        new Option('--authentication-key <hex>', 'authentication key').env(
          'BUSBAR_METER_AUTHENTICATION_KEY',
        ),
      )
      .option('--devices <file>', 'an inventory, JSON lines: addresses and keys of devices')
      .option('--system-title <hex>', 'ours; 4255530000000001 unless the inventory says another')
      .option('--meter-title <hex>', "the meter's, where it does not name itself")

  /** A command of `busbar meter`, with everything that says how the meter is reached. */
  const meterCommand = (name: string, description: string): Command =>
    withKeys(
      meter
        .command(name)
        .description(description)
        .argument('<address>', 'host:port, or the EUI-64 of a device in --devices')
        .option(
          '--client <number>',
          'wrapper port or HDLC address of the client; 16, the public one',
        )
        .option(
          '--logical-device <number>',
          'wrapper port or HDLC address of the logical device; 1. Upper and lower HDLC address as 1/17',
        )
        .option('--transport <way>', 'the wrapper over tcp or udp, or hdlc over TCP; tcp')
        .option(
          '--hdlc-address-octets <count>',
          "1, 2 or 4: how the device's HDLC address is written; as few as it takes",
        )
        .option(
          '--profile <name>',
          'how the model deviates, several joined by +; `busbar meter device-profiles` lists them',
        )
        .option(
          '--wait-ms <ms>',
          'for each answer; 10000. A complete answer in all its blocks may take 30 times that',
        )
        .addOption(
          new Option('--password <text>', 'secret of authentication, or 0x and hex').env(
            'BUSBAR_METER_PASSWORD',
          ),
        )
        .option(
          '--mechanism <number>',
          'of authentication, 0 to 7; 1 with a password, 0 without. 5 and 7 prove themselves by keys',
        ),
    )
      .option('--protection <how>', 'none, authenticated, encrypted or both; both')
      .option(
        '--general-ciphering <key>',
        'under the unicast key, or a wrapped or an agreed one: unicast, wrapped, one-pass or static',
      )
      .option('--sign <where>', 'general-signing within or around what is ciphered')
      .option(
        '--counter <number>',
        'invocation counter to begin with; asked of the meter when left out',
      )
      .option(
        '--counter-object <obis>',
        'where the meter tells the counter, 0-0:43.1.3.255; as the profile has it',
      )
      .option('--counter-client <number>', 'to which client it tells the counter; 16')
      .option('--conformance <hex>', 'the 24 bits that are proposed, 007e1f; all that Busbar can')
      .option(
        '--short-names <json>',
        'short names with these base names, {"1-0:1.8.0.255": 11000}, or a file; --profile short-names reads them from the meter',
      )
      .option('--mode-e [address]', 'open an HDLC line in mode E, for this device address or any')
      .option('--mode-e-baud-max <baud>', 'the highest speed to agree to in mode E; 9600')
      .option(
        '--time-zone <name>',
        'of the clock of a meter that sends no deviation: an IANA name, or an offset such as +01:00',
      )
      .option('--hex', 'show the frames that go and come, on stderr', false)
      .option('--json', 'one line of JSON', false)

  const ofClass = [
    '--class <number>',
    'interface class; what objects of that name usually have',
  ] as const
  meterCommand('read', 'read one attribute; a register with scaler and unit')
    .argument('<obis>', 'logical name, 1-0:1.8.0.255')
    .option(...ofClass)
    .option('--attribute <name>', 'by name or number', '2')
    .action(
      advised(async (address: string, obis: string, options: ObjectOptions) => {
        const { readCommand } = await import('./meter-commands.ts')
        await readCommand(address, obis, options, terminal)
      }),
    )

  meterCommand('write', 'write one attribute')
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

  meterCommand('invoke', 'invoke one method')
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

  meterCommand('objects', 'list the objects that the association sees, with rights').action(
    advised(async (address: string, options: MeterOptions) => {
      const { objectsCommand } = await import('./meter-commands.ts')
      await objectsCommand(address, options, terminal)
    }),
  )

  meterCommand('profile', 'print the rows of a profile')
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

  meter
    .command('device-profiles')
    .description('list what --profile knows')
    .action(async () => {
      const { deviceProfiles } = await import('../../../core/inventory/device-profiles.ts')
      for (const [name, { description }] of Object.entries(deviceProfiles))
        terminal.out(`${name.padEnd(26)} ${description}`)
    })

  withKeys(
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
