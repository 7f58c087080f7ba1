namespace Librarian.Domain.Stores;

/// <summary>Settings of a local store.</summary>
public sealed record LocalStoreOptions
{
    public required string Name { get; init; }

    /// <summary>Absolute path of the directory that receives data; must exist.</summary>
    public required string StagingPath { get; init; }

    /// <summary>Absolute path of the directory that holds committed data; must exist.</summary>
    public required string RootPath { get; init; }

    /// <summary>Whether uploads and clones may write to this store directly; false for drives.</summary>
    public bool Ingestable { get; init; } = true;

    /// <summary>
    /// Fraction of each file system, 0 to 1, that may be used. The rest is not reported as free (docs/spec/wire.md#local-store).
    /// </summary>
    public double ReportFullFraction { get; init; } = 1.0;

    /// <summary>Whether staging directories get mode 0775, so that clients of the group can write to them.</summary>
    public bool GroupWriteAfterStage { get; init; }

    /// <summary>
    /// Whether committed data must belong to this process's user. Then data are always copied into the store and verified there, so that
    /// nobody else can alter them between verification and commit.
    /// </summary>
    public bool OwnAfterCommit { get; init; }

    /// <summary>Whether committed files get mode 0444 and directories 0555.</summary>
    public bool ReadonlyAfterCommit { get; init; }

    /// <summary>
    /// The identity that the directory must have. Every access reads it through the root that it has opened. A root without it (an empty
    /// mount point, another disk) is not the store: nothing is read from it or written to it. Null if no identity is required, as for an
    /// open medium.
    /// </summary>
    public StoreIdentity? Identity { get; init; }

    /// <summary>Detects whether another catalog uses the store; null if that is not checked.</summary>
    public StoreUseFile? UseFile { get; init; }

    /// <summary>The removable medium that contains both paths; null for a store that belongs to this machine.</summary>
    public StoreMedium? Medium { get; init; }
}

/// <summary>
/// A medium that comes from elsewhere and is not trusted: below its root no symbolic link is followed and no other file system is entered.
/// </summary>
/// <param name="MountPath">Absolute path of the directory where it is mounted; staging and store are below it.</param>
/// <param name="OpenPath">
/// The path to open its root by: the same path, or <c>/proc/self/fd/N</c> for a mount that is kept open whatever happens at the path.
/// </param>
/// <param name="DriveId">The drive that must be found each time the root is opened; null for a mount that is kept open.</param>
public sealed record StoreMedium(string MountPath, string OpenPath, Guid? DriveId = null);
