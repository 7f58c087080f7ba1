using Librarian.Client.Wire;

namespace Librarian.Orchestrations.Peers;

/// <summary>Finds a file of this site in a peer's answer to a search.</summary>
internal static class RemoteCopySearch
{
    /// <summary>The peer's store that holds an available copy of the same content; null if there is none.</summary>
    public static long? StoreOf(IReadOnlyList<FileSearchHit> hits, string name, string checksum, long size)
    {
        var ours = Checksum.Parse(checksum);
        return hits.FirstOrDefault(f =>
                f.Name == name && f.Size == size && ours.CompareTo(Checksum.Parse(f.Checksum)) == ChecksumComparison.Equal
            )
            ?.Instances.FirstOrDefault(i => i is { Available: true, StoreId: not null })
            ?.StoreId;
    }
}
