using System.Buffers.Binary;
using System.Security.Cryptography;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

/// <summary>
/// Detects whether the entries of a tree are still the entries that were read, without reading them again and without keeping them: the
/// sum, modulo 2^256, of a SHA-256 per entry over its directory, name, device, inode, birth time, size, mode, owner, links, type,
/// modification and change time. The sum does not depend on the order.
/// </summary>
internal sealed class TreeStamp
{
    private readonly ulong[] _sum = new ulong[4];
    private readonly Lock _gate = new();
    private long _count;
    private bool _mustCopy;

    /// <summary>The top entry. It is kept apart, because a move changes its name and directory.</summary>
    internal FileStatus Top { get; set; }

    /// <summary>
    /// Others can write part of the tree under any name, because an entry has further links, belongs to another user, or is open for
    /// writing. The tree may be copied, but not renamed.
    /// </summary>
    internal bool MustCopy => Volatile.Read(ref _mustCopy);

    internal void RequireCopy() => Volatile.Write(ref _mustCopy, true);

    /// <summary>Adds an entry below the top; thread-safe.</summary>
    internal void Add(FileIdentity directory, EntryName name, in FileStatus status)
    {
        const int Fixed = 12 * sizeof(long);
        Span<byte> bytes = stackalloc byte[Fixed + 256];
        ReadOnlySpan<long> values =
        [
            (long)directory.Device,
            (long)directory.Inode,
            (long)status.Identity.Device,
            (long)status.Identity.Inode,
            status.Identity.BirthNanoseconds,
            status.Size,
            status.ModifiedNanoseconds,
            status.ChangedNanoseconds,
            status.Permissions,
            status.User,
            status.Links,
            (long)status.Type,
        ];
        for (var i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteInt64LittleEndian(bytes[(i * sizeof(long))..], values[i]);
        var length = Math.Min(name.Bytes.Length, 256);
        name.Bytes[..length].CopyTo(bytes[Fixed..]);
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(bytes[..(Fixed + length)], hash);
        lock (_gate)
        {
            UInt128 carry = 0;
            for (var i = 0; i < 4; i++)
            {
                carry += (UInt128)_sum[i] + BinaryPrimitives.ReadUInt64LittleEndian(hash[(i * 8)..]);
                _sum[i] = (ulong)carry;
                carry >>= 64;
            }

            _count++;
        }
    }

    /// <summary>Whether this is the entry that was read. Entries below it are not checked.</summary>
    internal bool IsTop(in FileStatus status) => status == Top;

    /// <summary>
    /// Whether the name still refers to the entries that were read, including those below it. Ignores the change time of the top, because a
    /// rename sets it. Reads directories but no contents.
    /// </summary>
    internal bool IsStillAt(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (parent.Status(name) is not { } status || status with { ChangedNanoseconds = 0 } != Top with { ChangedNanoseconds = 0 })
            return false;
        if (status.Type != EntryType.Directory)
            return true;
        var now = new TreeStamp();
        using (var top = parent.OpenDirectory(name))
            now.Walk(top, cancellationToken);
        return now._count == _count && now._sum.AsSpan().SequenceEqual(_sum);
    }

    // Keeps one directory per level open, not every directory.
    private void Walk(PosixDirectory top, CancellationToken cancellationToken)
    {
        var levels = new Stack<(PosixDirectory Directory, FileIdentity Identity, DirectoryStream Stream)>();
        try
        {
            var current = top.OpenDirectory(EntryName.Self);
            levels.Push((current, current.Status().Identity, current.OpenStream()));
            while (levels.TryPeek(out var level))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!level.Stream.TryRead(out var entry))
                {
                    levels.Pop();
                    level.Stream.Dispose();
                    level.Directory.Dispose();
                    continue;
                }

                if (level.Directory.Status(entry.Name) is not { } status)
                    continue;
                Add(level.Identity, entry.Name, status);
                if (status.Type != EntryType.Directory)
                    continue;
                var below = level.Directory.OpenDirectory(entry.Name);
                levels.Push((below, below.Status().Identity, below.OpenStream()));
            }
        }
        finally
        {
            foreach (var (directory, _, stream) in levels)
            {
                stream.Dispose();
                directory.Dispose();
            }
        }
    }
}
