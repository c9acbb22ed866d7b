/**
 * A disk whose power can be cut: a file with a file system in it, mounted through a loop device. A
 * cut is the kernel's own shutdown of that file system without a flush of its log: what was not
 * flushed is lost, everything later fails, and the next mount replays the journal, as after a power
 * cut. The process runs in a mount namespace of its own (`inMountNamespace`), so that nobody else
 * sees the disk, and the kernel removes it when the last process of the namespace ends.
 *
 * An ext4 is made by mkfs.ext4. An xfs is written from xfs-image.json, the sectors that `mkfs.xfs`
 * 6.1 gives a file of 4 GiB, because few machines have mkfs.xfs and most kernels have xfs.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'

export const cutFileSystems = ['ext4', 'xfs'] as const
export type CutFileSystem = (typeof cutFileSystems)[number]

const diskBytes = 4 * 1024 ** 3

/**
 * Programs of which one is there on most machines, each called with the folder behind these
 * arguments; Node itself has no ioctl.
 *
 * @source the kernel's include/uapi: FS_IOC_SHUTDOWN = XFS_IOC_GOINGDOWN = _IOR('X', 125, __u32),
 * and the flag NOLOGFLUSH = 2
 */
const shutdowns: ReadonlyArray<readonly [program: string, ...first: string[]]> = [
  [
    'perl',
    '-e',
    'open(my $folder, "<", $ARGV[0]) or die "$!\\n"; my $flag = pack("L", 2); ioctl($folder, 0x8004587d, $flag) or die "$!\\n"',
  ],
  [
    'python3',
    '-c',
    'import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("=I", 2))',
  ],
  ['xfs_io', '-x', '-c', 'shutdown'],
]
/** Where _IOR has the value above. */
const knownProcessors: readonly string[] = ['x64', 'arm64']

/** The command that runs `program` in a mount namespace of its own; needs root. */
export function inMountNamespace(program: readonly string[]): [command: string, args: string[]] {
  return ['unshare', ['--mount', '--propagation', 'private', ...program]]
}

/**
 * What the command said on stderr when it failed, or that it is missing; undefined when it went
 * well.
 */
function faultOf(command: string, args: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined) return `${command}: ${error.message}`
  return status === 0 ? undefined : `${command}: ${stderr.trim() || `exit code ${status}`}`
}

function run(command: string, args: readonly string[]): void {
  const fault = faultOf(command, args)
  if (fault !== undefined) throw new Error(fault)
}

const shutdownProgram = (): (typeof shutdowns)[number] | undefined =>
  shutdowns.find(([program]) => spawnSync(program, ['-V'], { stdio: 'ignore' }).error === undefined)

/** Why no mount namespace can be had here, in words for a skipped test; undefined when one can. */
export function whyNoNamespace(): string | undefined {
  if (process.platform !== 'linux') return `${process.platform} has no mount namespaces`
  if (!knownProcessors.includes(process.arch))
    return `the number of the ioctl is not known for ${process.arch}`
  if (shutdownProgram() === undefined)
    return `none of ${shutdowns.map(([program]) => program).join(', ')} to call the ioctl`
  const [command, args] = inMountNamespace(['true'])
  return faultOf(command, args)
}

/**
 * Why this process can have no such disk, with what the machine said; asked inside the namespace.
 */
export function whyNoDisk(kind: CutFileSystem, folder: string): string | undefined {
  const disk = new CutDisk(kind, join(folder, 'probe'))
  const fault = disk.make() ?? disk.tryMount()
  if (fault === undefined) disk.tryUnmount()
  return fault
}

export class CutDisk {
  readonly kind: CutFileSystem
  /** Where it is mounted. */
  readonly folder: string
  private readonly image: string

  /** `place` and `place`.img are this disk's; the caller removes both, once it is unmounted. */
  constructor(kind: CutFileSystem, place: string) {
    this.kind = kind
    this.folder = place
    this.image = `${place}.img`
  }

  /** Makes it, empty; gives why that failed. The file has holes: it takes what is written. */
  make(): string | undefined {
    mkdirSync(this.folder, { recursive: true })
    const image = openSync(this.image, 'w', 0o600)
    try {
      ftruncateSync(image, diskBytes)
      if (this.kind === 'xfs') writeXfs(image)
    } finally {
      closeSync(image)
    }
    return this.kind === 'xfs' ? undefined : faultOf('mkfs.ext4', ['-q', '-F', this.image])
  }

  /** Mounts it, and replays its journal when it was cut; gives why that failed. */
  tryMount(): string | undefined {
    // Every xfs here has the same identifier, and two of them may be mounted at one time.
    const options = this.kind === 'xfs' ? 'loop,nouuid' : 'loop'
    return faultOf('mount', ['-t', this.kind, '-o', options, this.image, this.folder])
  }

  mount(): void {
    const fault = this.tryMount()
    if (fault !== undefined) throw new Error(fault)
  }

  /** Everything that was written until now is kept. */
  flush(): void {
    run('sync', ['--file-system', this.folder])
  }

  /** The power goes. Processes that have files there live on, and get EIO. */
  cut(): void {
    const [program, ...first] = shutdownProgram()!
    run(program, [...first, this.folder])
  }

  /**
   * `busy` while somebody has a file there. What the kernel held of the disk and had not written is
   * gone then.
   */
  tryUnmount(): 'done' | 'busy' {
    const fault = faultOf('umount', [this.folder])
    if (fault !== undefined && !fault.includes('busy')) throw new Error(fault)
    return fault === undefined ? 'done' : 'busy'
  }
}

type Sectors = {
  bytes: number
  sectorBytes: number
  /** Where sectors stand that are not zero: first octet, and how many follow one another. */
  runs: Array<[offset: number, count: number]>
  /** All of them in that order: zlib, base64. */
  octets: string
}

function writeXfs(image: number): void {
  const file = join(import.meta.dirname, 'xfs-image.json')
  const { bytes, sectorBytes, runs, octets } = JSON.parse(readFileSync(file, 'utf8')) as Sectors
  if (bytes !== diskBytes) throw new Error('xfs-image.json is of another size')
  const sectors = inflateSync(Buffer.from(octets, 'base64'))
  let at = 0
  for (const [offset, count] of runs) {
    writeSync(image, sectors, at, count * sectorBytes, offset)
    at += count * sectorBytes
  }
}
