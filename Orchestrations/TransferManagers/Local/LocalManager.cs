using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.TransferManagers.Local;

/// <summary>Copies to the peer's staging on a shared file system.</summary>
/// <remarks>
/// A crash leaves a partial file in the peer's staging directory, which is removed with that directory; the final name appears only when
/// all bytes are on disk, and a file that has its final name is not copied again.
/// </remarks>
public sealed class LocalManager(LocalTransferManager local) : ITransferManager
{
    /// <summary>Its name in the catalog.</summary>
    public const string ManagerName = "local";

    private const int Parallelism = 2;

    /// <inheritdoc />
    public string Name => ManagerName;

    /// <inheritdoc />
    public int FilesAtOnce => 16;

    /// <inheritdoc />
    public bool CanUse(AsyncProvider offer) => offer is LocalProvider usable && local.IsUsable(usable.Hostnames);

    /// <inheritdoc />
    public bool CanReach(string stagingLocation, PeerOptions policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return LocalTransferManager.IsAllowed(stagingLocation, policy.LocalRoots);
    }

    /// <inheritdoc />
    public async Task<ReplyError?> SendAsync(
        PeerClient peer,
        PeerOptions policy,
        IReadOnlyList<OutgoingFile> files,
        Action<OutgoingFile, SendingResult> onEnded,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(onEnded);
        var oneAtATime = new Lock();
        await Parallel.ForEachAsync(
            files,
            new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancellationToken },
            async (file, stop) =>
            {
                var result = await LocalTransferManager.CopyAsync(
                    file.Store.Locate(file.Path),
                    file.Expected,
                    file.Transfer.DestPath!,
                    file.Transfer.FileName,
                    policy.LocalRoots,
                    stop
                );
                lock (oneAtATime)
                    onEnded(file, result);
            }
        );
        return null;
    }
}
