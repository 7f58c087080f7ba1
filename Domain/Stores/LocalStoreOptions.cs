namespace Librarian.Domain.Stores;

/// <summary>Settings of a local store; the member names in snake case are the keys of the store's <c>store_data</c>.</summary>
public sealed record LocalStoreOptions
{
    /// <summary>The store's name.</summary>
    public required string Name { get; init; }

    /// <summary>Absolute path of the directory that receives data; must exist.</summary>
    public required string StagingPath { get; init; }

    /// <summary>Absolute path of the directory that holds committed data; must exist.</summary>
    public required string StorePath { get; init; }

    /// <summary>Whether uploads and clones may come to this store directly; false for drives that are carried away.</summary>
    public bool Ingestable { get; init; } = true;

    /// <summary>Fraction of each filesystem, 0 to 1, that may be used; the rest is not reported as free (wire.md §7.2).</summary>
    public double ReportFullFraction { get; init; } = 1.0;

    /// <summary>Whether staging directories get mode 0775, so that clients of the group can write into them.</summary>
    public bool GroupWriteAfterStage { get; init; }

    /// <summary>
    /// Whether committed data must belong to this process' user. Then data are always copied into the store and verified there,
    /// which also means that nobody else could alter them between verification and placement.
    /// </summary>
    public bool OwnAfterCommit { get; init; }

    /// <summary>Whether committed files get mode 0444 and directories 0555.</summary>
    public bool ReadonlyAfterCommit { get; init; }

    /// <summary>The removable medium on which both paths lie; null for a store that belongs to this machine.</summary>
    public StoreMedium? Medium { get; init; }
}

/// <summary>
/// A medium that comes from elsewhere, so that nothing on it is trusted: below its root no symbolic link is followed, and no other file
/// system is entered.
/// </summary>
/// <param name="MountPath">Absolute directory at which it is mounted; staging and store lie below it.</param>
/// <param name="OpenPath">How its root is opened: the same path, or <c>/proc/self/fd/N</c> for a mount that is held while whatever happens at the path.</param>
public sealed record StoreMedium(string MountPath, string OpenPath);

/// <summary>
/// Lets tests stop a store between any two steps, and impose what a filesystem may lack. Production code passes none.
/// </summary>
public interface IStoreFaults
{
    /// <summary>True to act as on a filesystem without a rename that refuses to replace.</summary>
    bool LacksRenameWithoutReplacing => false;

    /// <summary>Called at a named point; an exception from here simulates the death of the process at that point.</summary>
    void Reach(string point);
}
