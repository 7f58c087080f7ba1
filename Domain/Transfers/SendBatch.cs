namespace Librarian.Domain.Transfers;

/// <summary>A batch of files for one peer.</summary>
/// <param name="QueueId">Row in <c>send_queue</c>.</param>
/// <param name="Destination">The peer's name.</param>
/// <param name="Files">Number of files.</param>
public sealed record SendBatch(long QueueId, string Destination, int Files);
