namespace Librarian.Orchestrations.Incoming;

/// <summary>Names of activity queues that have their own limits.</summary>
public static class Queues
{
    /// <summary>Activities that verify staged data and commit them to their store.</summary>
    public const string StagedFiles = "ingest";
}
