namespace Librarian.Domain.Drives;

/// <summary>A destination's report about one transfer that travelled on a drive.</summary>
/// <param name="TransferId">This site's outgoing transfer, from the manifest.</param>
/// <param name="Name">The file, so that an id from another catalog (restored, or installed anew) is not mistaken for this one's.</param>
/// <param name="Checksum">Its checksum in the manifest.</param>
/// <param name="StoreId">The destination's store when it holds the file verified; null when it did not accept the file.</param>
/// <param name="Message">Why not.</param>
public sealed record Delivery(long TransferId, string Name, string Checksum, long? StoreId, string? Message);

/// <summary>A report that could not be recorded.</summary>
/// <param name="TransferId">As in the report.</param>
/// <param name="Reason">Why.</param>
public sealed record RefusedDelivery(long TransferId, string Reason);

/// <summary>Number of a drive's transfers by outcome.</summary>
/// <param name="Open">Not reported yet.</param>
/// <param name="Delivered">At the destination.</param>
/// <param name="Failed">Not accepted there.</param>
public sealed record DeliveryCounts(long Open, long Delivered, long Failed);
