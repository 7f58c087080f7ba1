using System.Text;

namespace Librarian.Domain.Stores.Posix;

/// <summary>
/// One name in a directory, as the bytes the kernel knows it by. Instruments write names that are not UTF-8; a string would
/// turn those into names that do not exist.
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

    internal EntryName(string name)
        : this(Encoding.UTF8.GetBytes(name))
    {
    }

    /// <summary>The form the kernel's calls take.</summary>
    internal byte[] ZeroTerminated { get; }

    internal ReadOnlySpan<byte> Bytes => ZeroTerminated.AsSpan(0, ZeroTerminated.Length - 1);

    /// <summary>For messages; bytes that are not UTF-8 appear as replacement characters.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Bytes);
}

/// <summary>What a directory entry is.</summary>
internal enum EntryType
{
    /// <summary>The filesystem did not say; ask with a status call.</summary>
    Unknown,
    RegularFile,
    Directory,
    Symlink,

    /// <summary>A device, pipe or socket.</summary>
    Special,
}

internal readonly record struct DirectoryEntry(EntryName Name, EntryType Type);

/// <summary>Which object on disk: survives renames, unlike a path.</summary>
/// <param name="Device">Device number, major and minor packed.</param>
/// <param name="Inode">Inode number.</param>
/// <param name="BirthNanoseconds">Creation time since the Unix epoch, 0 where the filesystem keeps none; tells a reused inode number apart.</param>
internal readonly record struct FileIdentity(ulong Device, ulong Inode, long BirthNanoseconds);

/// <summary>The parts of an inode's status used here. Sizes in bytes, times in nanoseconds since the Unix epoch (UTC).</summary>
internal readonly record struct FileStatus(FileIdentity Identity, EntryType Type, uint Permissions, uint User, uint Links, long Size, long ModifiedNanoseconds)
{
    internal static unsafe FileStatus From(Libc.StatXBuffer* buffer) => new(
        new FileIdentity(
            ((ulong)buffer->DeviceMajor << 32) | buffer->DeviceMinor,
            buffer->Inode,
            unchecked((buffer->BirthSeconds * 1_000_000_000) + buffer->BirthNanoseconds)),
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
        unchecked((buffer->ModifiedSeconds * 1_000_000_000) + buffer->ModifiedNanoseconds));
}
