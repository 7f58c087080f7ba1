namespace Librarian.Durable.Stores;

/// <summary>
/// The values of a start's rows. If bit n of <paramref name="DedupeMask"/> is set, an existing instance in status n refuses the start.
/// </summary>
internal sealed record StartRow(
    string InstanceId,
    string Name,
    string Version,
    string? Input,
    string? Tags,
    long? StartAt,
    long DedupeMask
);
