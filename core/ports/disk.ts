/** Free space of file systems. */

export type DiskSpace = {
  /** The same for all paths on one file system. */
  readonly id: string
  /** Octets that this process may still write; those that only root may write do not count. */
  readonly freeBytes: number
  readonly totalBytes: number
}

export interface Disks {
  /**
   * Of the file system that holds `path`, or its nearest folder that exists. Rejects with what the
   * file system says.
   */
  spaceOf(path: string): Promise<DiskSpace>
}
