using System.Text;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// The working directory of one commit that copies. <c>lock</c> is held while a process works on it. <c>data</c> is the copy.
/// <c>identity</c> is written once the copy is verified and on disk; it names the copy's inode, which a rename keeps. So a later attempt
/// can tell a verified copy from a torn one, and its own data at the destination from any others. <c>returned</c> holds data that an
/// earlier attempt had renamed to the destination and that may not stay as they are: they are the source of the copy.
/// </summary>
internal sealed class IncomingCopy : IDisposable
{
    private static readonly EntryName LockFile = new("lock"u8);
    private static readonly EntryName IdentityFile = new("identity"u8);

    private readonly PosixDirectory _parent;
    private readonly EntryName _name;
    private readonly PosixFile _lock;

    private IncomingCopy(PosixDirectory parent, EntryName name, PosixDirectory directory, PosixFile heldLock)
    {
        _parent = parent;
        _name = name;
        Directory = directory;
        _lock = heldLock;
    }

    /// <summary>Entry name of the copy.</summary>
    internal static EntryName Data { get; } = new("data"u8);

    /// <summary>Entry name of data that were taken back from the destination.</summary>
    internal static EntryName Returned { get; } = new("returned"u8);

    internal PosixDirectory Directory { get; }

    public void Dispose()
    {
        _lock.Dispose();
        Directory.Dispose();
        _parent.Dispose();
    }

    /// <summary>Opens the directory and takes its lock.</summary>
    /// <param name="parent">Owned by the result.</param>
    /// <param name="name">Name of the commit's directory.</param>
    /// <param name="directory">The commit's directory; owned by the result.</param>
    /// <returns>Null if another process or call works on the same commit.</returns>
    internal static IncomingCopy? TryLock(PosixDirectory parent, EntryName name, PosixDirectory directory)
    {
        var file = directory.OpenLockFile(LockFile);
        if (file.TryLock())
            return new IncomingCopy(parent, name, directory, file);
        file.Dispose();
        directory.Dispose();
        parent.Dispose();
        return null;
    }

    /// <summary>The identity of the verified copy; null if there is none.</summary>
    internal FileIdentity? VerifiedIdentity()
    {
        if (Directory.Status(IdentityFile) is null)
            return null;
        Span<byte> text = stackalloc byte[128];
        using var file = Directory.OpenFile(IdentityFile);
        var length = file.Read(text);
        var parts = Encoding.ASCII.GetString(text[..length]).Split(' ');

        // The final "." tells a complete record from one that a power cut tore.
        return
            parts is [var device, var inode, var birth, "."]
            && ulong.TryParse(device, out var deviceNumber)
            && ulong.TryParse(inode, out var inodeNumber)
            && long.TryParse(birth, out var birthTime)
            ? new FileIdentity(deviceNumber, inodeNumber, birthTime)
            : null;
    }

    internal bool HasVerifiedData() => VerifiedIdentity() is { } identity && Directory.Status(Data)?.Identity == identity;

    /// <summary>Records that the copy is verified and on disk.</summary>
    internal void RecordIdentity() =>
        RecordIdentity((Directory.Status(Data) ?? throw new PosixException(Errno.NoEntry, "status", Directory.PathOf(Data))).Identity);

    /// <summary>Records the identity of data that are verified and on disk and are about to be moved here.</summary>
    internal void RecordIdentity(FileIdentity identity)
    {
        using (var file = Directory.CreateFile(IdentityFile, 0x180))
        {
            file.Write(Encoding.ASCII.GetBytes($"{identity.Device} {identity.Inode} {identity.BirthNanoseconds} ."));
            file.Sync();
        }

        Directory.Sync();
    }

    /// <summary>Removes the record and the copy of an earlier attempt, so that a new copy can begin.</summary>
    internal void Clear(CancellationToken cancellationToken)
    {
        // The record goes first: data without a record count for nothing, but a record without its data would be trusted.
        TreeRemoval.Remove(Directory, IdentityFile, cancellationToken);
        TreeRemoval.Remove(Directory, Data, cancellationToken);
    }

    /// <summary>Removes the directory with everything in it.</summary>
    internal void Remove(CancellationToken cancellationToken) => TreeRemoval.Remove(_parent, _name, cancellationToken);
}
