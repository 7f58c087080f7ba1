using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <content>Checks whether a directory is this store.</content>
public sealed partial class LocalStore
{
    /// <summary>The identity file's content when it was last found valid. Unchanged content is not parsed again.</summary>
    private byte[]? _known;

    /// <summary>
    /// Checks which store is mounted at the store's path now. An empty mount point, or another disk mounted in its place, is not the store,
    /// and nothing may then be read from it or written to it. Waits as long as the file system does.
    /// </summary>
    public StoreFinding Identify()
    {
        Reach($"identify {Options.Name}");
        try
        {
            if (!Directory.Exists(_stagingRoot))
                return new StoreFinding(Directory.Exists(_storeRoot) ? StoreState.NoStaging : StoreState.NoDirectory);
            using var root = TryOpenAny(_storeRoot);
            return root is null ? new StoreFinding(StoreState.NoDirectory) : Identify(root);
        }
        catch (PosixException e)
        {
            return new StoreFinding(StoreState.BadIdentity, Problem: e.Message);
        }
    }

    /// <summary>Checks an open directory. The result holds for this directory, whatever is mounted at its path meanwhile.</summary>
    internal StoreFinding Identify(PosixDirectory root)
    {
        if (Options.Identity is not { } wanted)
            return new StoreFinding(StoreState.Mounted);
        var found = StoreIdentity.Read(root, _known, out var content, out var problem);
        if (content is not null && ReferenceEquals(content, _known))
            return Taken(root);
        if (found is null)
            return problem is null ? new StoreFinding(StoreState.NoIdentity) : new StoreFinding(StoreState.BadIdentity, Problem: problem);
        if (found.Site is not null && found.Site != wanted.Site)
            return new StoreFinding(StoreState.OtherSite, found);
        if (found.StoreId != wanted.StoreId)
            return new StoreFinding(StoreState.OtherStore, found);
        _known = content;
        return Taken(root);
    }

    private StoreFinding Taken(PosixDirectory root) =>
        Options.UseFile?.Check(root) is { } other
            ? new StoreFinding(StoreState.InUse, Problem: other)
            : new StoreFinding(StoreState.Mounted);

    /// <summary>
    /// Rewrites an identity of the first format in the current format; returns null if that succeeded or was not needed, and otherwise the
    /// reason for the failure.
    /// </summary>
    internal string? CompleteIdentity()
    {
        try
        {
            using var root = TryOpenAny(_storeRoot);
            if (
                root is null
                || Options.Identity is not { } identity
                || StoreIdentity.Read(root, null, out _, out _) is not { Site: null } old
                || old.StoreId != identity.StoreId
            )
                return null;
            identity.Write(root, replace: true);
            return null;
        }
        catch (PosixException e)
        {
            return e.Message;
        }
    }
}
