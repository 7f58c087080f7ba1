using Librarian.Domain.Posix;
using Librarian.Domain.Stores;

namespace Librarian.Domain.DataBatches;

/// <summary>Where a transfer's data belong.</summary>
/// <param name="Staging">Name of its staging directory.</param>
/// <param name="UploadName">Its data below that directory.</param>
internal sealed record StagedTransfer(Guid Staging, FileName UploadName);

/// <summary>
/// The staging directories of a batch's transfers. Paths are walked component by component, and no link is followed: a client may write
/// there too (upstream weakness W46). Not for concurrent use.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="staging">Its staging directory, which this object closes.</param>
/// <param name="transfers">The transfers that take data, by their place in the layout.</param>
internal sealed class StagedTree(LocalStore store, PosixDirectory staging, IReadOnlyDictionary<int, StagedTransfer> transfers) : IDisposable
{
    private (int Transfer, string Path) _open = (-1, "");
    private PosixDirectory? _directory;

    public void Dispose()
    {
        _directory?.Dispose();
        staging.Dispose();
    }

    /// <summary>Makes what has no bytes in a whole batch, and flushes it.</summary>
    /// <exception cref="IOException">The disk refused, or the store is not mounted.</exception>
    internal static bool MakeAll(LocalStore store, BatchLayout layout, StagedTransfer?[] transfers)
    {
        using var tree = new StagedTree(
            store,
            store.TryOpenStaging() ?? throw new IOException("The store was unmounted at this moment."),
            transfers.Index().Where(t => t.Item is not null).ToDictionary(t => t.Index, t => t.Item!)
        );
        foreach (var (transfer, entry) in layout.Entries())
            tree.Make(transfer, entry);
        tree.SyncFileSystem();
        return true;
    }

    /// <summary>Makes what has no bytes: directories, links and empty files. Safe to repeat.</summary>
    /// <exception cref="PosixException">The disk refused.</exception>
    internal void Make(int transfer, in LayoutEntry entry)
    {
        if (entry.Type == LayoutEntryType.End || (entry.HasBytes && entry.Size > 0) || Parent(transfer, entry.Path) is not { } parent)
            return;
        var name = Name(transfer, entry.Path);
        switch (entry.Type)
        {
            case LayoutEntryType.TransferDirectory or LayoutEntryType.Directory:
                store.MakeStaged(parent, name).Dispose();
                break;
            case LayoutEntryType.Link:
                if (parent.Status(name) is null)
                    parent.MakeSymlink(name, PathBytes.ToZeroTerminated(entry.Target!));
                break;
            default:
                OpenFile(new BatchFile(transfer, entry.Path, 0, 0, entry.IsExecutable), out _)?.Dispose();
                break;
        }
    }

    /// <summary>Opens a file of the batch for writing. Gives it its length, so that segments can be written in any order.</summary>
    /// <param name="file">The file.</param>
    /// <param name="isNew">Whether its entry and length may not be on disk yet.</param>
    /// <returns>Null if the transfer takes no data any more.</returns>
    /// <exception cref="PosixException">The disk refused, or something else has the name.</exception>
    internal PosixFile? OpenFile(in BatchFile file, out bool isNew)
    {
        isNew = false;
        if (Parent(file.Transfer, file.Path) is not { } parent)
            return null;
        var name = Name(file.Transfer, file.Path);
        var permissions = store.StagedFilePermissions(file.IsExecutable);
        var opened = parent.OpenFileToWrite(name, permissions);
        try
        {
            var status = opened.Status();
            // A second name of the file would be a way out of the staging directory.
            if (status is not { Type: EntryType.RegularFile, Links: 1 })
                throw new PosixException(Errno.Exists, "opening", parent.PathOf(name));
            isNew = status.Size != file.Size || file.Size == 0;
            if (isNew)
            {
                opened.SetPermissions(permissions);
                opened.SetLength(file.Size);
            }

            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>Opens a file of the batch for reading.</summary>
    /// <returns>Null if it is not there.</returns>
    internal PosixFile? OpenToRead(in BatchFile file)
    {
        if (Parent(file.Transfer, file.Path) is not { } parent)
            return null;
        var name = Name(file.Transfer, file.Path);
        return parent.Status(name) is { Type: EntryType.RegularFile } ? parent.OpenFile(name) : null;
    }

    /// <summary>Flushes everything that was written to the store's staging.</summary>
    /// <exception cref="PosixException">Nothing of it may be relied on.</exception>
    internal void SyncFileSystem() => staging.SyncFileSystem();

    private EntryName Name(int transfer, string path) =>
        new(path.Length == 0 ? transfers[transfer].UploadName.Components[^1] : path[(path.LastIndexOf('/') + 1)..]);

    /// <summary>The directory that holds an entry; null if the transfer takes no data any more.</summary>
    private PosixDirectory? Parent(int transfer, string path)
    {
        var above = path.Length == 0 ? "/" : path[..(path.LastIndexOf('/') + 1)];
        if (_open == (transfer, above))
            return _directory;
        _directory?.Dispose();
        _directory = null;
        _open = (transfer, above);
        if (!transfers.TryGetValue(transfer, out var staged))
            return null;
        var names = path.Length == 0 ? staged.UploadName.Components.SkipLast(1) : staged.UploadName.Components;
        try
        {
            var current = staging.TryOpenDirectory(new EntryName(staged.Staging.ToString("D")));
            foreach (var name in names.Concat(path.Split('/').SkipLast(1)))
            {
                using var previous = current;
                current = previous?.TryOpenDirectory(new EntryName(name));
            }

            return _directory = current;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return null;
        }
    }
}
