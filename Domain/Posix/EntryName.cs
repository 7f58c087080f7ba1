namespace Librarian.Domain.Posix;

/// <summary>
/// The name of a directory entry, as the kernel's bytes. Instruments write names that are not UTF-8, and a string would turn those into
/// names that do not exist.
/// </summary>
internal readonly struct EntryName
{
    internal static readonly EntryName Self = new("."u8);

    /// <param name="name">The bytes without the terminating zero.</param>
    internal EntryName(ReadOnlySpan<byte> name)
    {
        ZeroTerminated = new byte[name.Length + 1];
        name.CopyTo(ZeroTerminated);
    }

    /// <exception cref="PosixException">NoEntry: no file can have this name.</exception>
    internal EntryName(string name)
    {
        try
        {
            ZeroTerminated = PathBytes.ToZeroTerminated(name);
        }
        catch (ArgumentException)
        {
            throw new PosixException(Errno.NoEntry, "opening", name.Shown());
        }
    }

    /// <summary>The form that system calls take.</summary>
    internal byte[] ZeroTerminated { get; }

    internal ReadOnlySpan<byte> Bytes => ZeroTerminated.AsSpan(0, ZeroTerminated.Length - 1);

    /// <summary>The name without loss, encoded by <see cref="PathBytes"/>; only for use in this process.</summary>
    internal string Text => PathBytes.ToText(Bytes);

    /// <summary>For messages. Bytes that are not UTF-8 and control characters appear as <c>\xNN</c>.</summary>
    public override string ToString() => Text.Shown();
}

internal enum EntryType
{
    /// <summary>The file system did not say; a status call is needed.</summary>
    Unknown,
    RegularFile,
    Directory,
    Symlink,

    /// <summary>A device, pipe or socket.</summary>
    Special,
}

internal readonly record struct DirectoryEntry(EntryName Name, EntryType Type);

/// <summary>Identifies an object on disk. Unlike a path, it survives renames.</summary>
/// <param name="Device">Device number, major and minor packed.</param>
/// <param name="Inode">Inode number.</param>
/// <param name="BirthNanoseconds">
/// Creation time since the Unix epoch; 0 if the file system keeps none. Distinguishes a reused inode number.
/// </param>
internal readonly record struct FileIdentity(ulong Device, ulong Inode, long BirthNanoseconds);

/// <summary>The parts of an inode's status that this code uses. Sizes in bytes, times in nanoseconds since the Unix epoch (UTC).</summary>
internal readonly record struct FileStatus(
    FileIdentity Identity,
    EntryType Type,
    uint Permissions,
    uint User,
    uint Links,
    long Size,
    long ModifiedNanoseconds,
    long ChangedNanoseconds
)
{
    internal static unsafe FileStatus From(Libc.StatXBuffer* buffer) =>
        new(
            new FileIdentity(
                ((ulong)buffer->DeviceMajor << 32) | buffer->DeviceMinor,
                buffer->Inode,
                unchecked((buffer->BirthSeconds * 1_000_000_000) + buffer->BirthNanoseconds)
            ),
            (buffer->Mode & 0xf000) switch
            {
                0x8000 => EntryType.RegularFile,
                0x4000 => EntryType.Directory,
                0xa000 => EntryType.Symlink,
                _ => EntryType.Special,
            },
            (uint)buffer->Mode & 0xfff,
            buffer->User,
            buffer->Links,
            buffer->Size,
            unchecked((buffer->ModifiedSeconds * 1_000_000_000) + buffer->ModifiedNanoseconds),
            unchecked((buffer->ChangedSeconds * 1_000_000_000) + buffer->ChangedNanoseconds)
        );
}
