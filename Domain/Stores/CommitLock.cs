using System.Buffers.Binary;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// A lock on one commit against all processes of the site that use the store, on this machine or, over NFS, on others. It ends with the
/// process, so an unfinished state that the next holder finds was left by a dead process.
/// </summary>
public sealed class CommitLock : IDisposable
{
    private static readonly EntryName LockFile = new("placements.lock"u8);

    private readonly PosixFile _file;

    private CommitLock(PosixFile file) => _file = file;

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    /// <summary>Takes the lock; null if another process has it.</summary>
    /// <param name="working">The store's working directory.</param>
    /// <param name="commitId">Id of the commit. 62 bits of it select the byte of the lock file that is locked.</param>
    internal static CommitLock? TryTake(PosixDirectory working, Guid commitId)
    {
        Span<byte> bytes = stackalloc byte[16];
        commitId.TryWriteBytes(bytes);
        var commitLock = new CommitLock(working.OpenLockFile(LockFile));
        var taken = false;
        try
        {
            taken = commitLock._file.TryLockByte(BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]) & (long.MaxValue >> 1));
            return taken ? commitLock : null;
        }
        finally
        {
            if (!taken)
                commitLock.Dispose();
        }
    }
}
