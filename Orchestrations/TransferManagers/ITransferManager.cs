using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.TransferManagers;

/// <summary>A staged transfer and the copy that is sent.</summary>
/// <param name="Transfer">The transfer; it has a staging location and the destination's id.</param>
/// <param name="Store">Store of the copy.</param>
/// <param name="Path">Path of the copy.</param>
public sealed record OutgoingFile(OutgoingTransfer Transfer, LocalStore Store, FileName Path)
{
    /// <summary>What the catalog says about the file.</summary>
    public ContentDescription Expected => new(Checksum.Parse(Transfer.TransferChecksum), Transfer.TransferSize);
}

/// <summary>
/// A way to bring the bytes of staged transfers to a peer (docs/transfers.md). The caller stages, announces and ends transfers.
/// </summary>
/// <remarks>
/// Every manager keeps these rules, and one test suite holds them all to it: it writes only to the staging of its own transfers and follows
/// no link there; one bad file holds up no other; it can be killed at any point, and called again with the same transfers sends only what
/// is missing; trouble of the link is an error of the call and not of a file; it never says <see cref="SendingStatus.Copied"/> for bytes
/// that it has not read as the catalog describes them.
/// </remarks>
public interface ITransferManager
{
    /// <summary>Its name in the catalog (<see cref="OutgoingTransfer.TransferManagerName"/>).</summary>
    string Name { get; }

    /// <summary>
    /// Most files of one call. The caller checks between calls whether transfers to the peer were switched off; a manager whose calls may
    /// take long checks that too.
    /// </summary>
    int FilesAtOnce { get; }

    /// <summary>Whether an offer of a peer works from this host.</summary>
    bool CanUse(AsyncProvider offer);

    /// <summary>Whether it may write to a location that the peer named.</summary>
    bool CanReach(string stagingLocation, PeerOptions policy);

    /// <summary>Sends files; returns when each has been sent or has failed.</summary>
    /// <param name="peer">The peer.</param>
    /// <param name="policy">The peer's settings.</param>
    /// <param name="files">The files.</param>
    /// <param name="onEnded">Called once for each file that was sent or has failed, one call at a time.</param>
    /// <param name="cancellationToken">Stops; what has arrived is kept.</param>
    /// <returns>Trouble of the link or the peer, for which files without a call have to wait; otherwise null.</returns>
    Task<ReplyError?> SendAsync(
        PeerClient peer,
        PeerOptions policy,
        IReadOnlyList<OutgoingFile> files,
        Action<OutgoingFile, SendingResult> onEnded,
        CancellationToken cancellationToken
    );
}
