/**
 * The options of `busbar meter` on the command line: how a meter is reached, and what it is spoken
 * to with.
 */
import { Option, type Command } from 'commander'

/** Adds where keys come from, and whose they are. */
export function addKeyOptions(command: Command): Command {
  return command
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
}

/** Adds everything that says how a meter is reached. */
export function addMeterOptions(command: Command): Command {
  return addDialectOptions(addSecurityOptions(addKeyOptions(addLinkOptions(command))))
    .option('--hex', 'show the frames that go and come, on stderr', false)
    .option('--json', 'one line of JSON', false)
}

function addLinkOptions(command: Command): Command {
  return command
    .option('--client <number>', 'wrapper port or HDLC address of the client; 16, the public one')
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
    )
}

function addSecurityOptions(command: Command): Command {
  return command
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
}

/** Adds how the meter deviates from what its profile says. */
function addDialectOptions(command: Command): Command {
  return command
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
}
