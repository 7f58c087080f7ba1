using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>The entries of a manifest that one round decides.</summary>
/// <param name="Entries">The entries; none at the end of the manifest.</param>
/// <param name="Next">Where the next window begins.</param>
internal sealed record ManifestWindow(List<IngestEntry> Entries, long Next)
{
    private const int RoundFiles = 2048;
    private const long RoundBytes = 4L << 30;

    /// <summary>Reads the window that begins at the cursor.</summary>
    internal static async Task<ManifestWindow> ReadAsync(IManifestCursor cursor, CancellationToken cancellationToken)
    {
        var (entries, bytes, next) = (new List<IngestEntry>(), 0L, cursor.Position);
        var names = new HashSet<string>(StringComparer.Ordinal);
        while (entries.Count < RoundFiles && bytes < RoundBytes)
        {
            var start = cursor.Position;
            if (await cursor.ReadFileAsync(cancellationToken) is not { } file)
                break;
            var (members, listed) =
                file.Members is not null && cursor is ManifestCursor own ? await ReadMembersAsync(own, cancellationToken) : (null, null);
            // Only upstream's lists name a file twice; in another window the name is decided already.
            if (file.Problem is null && !names.Add(file.Name))
                file = UpstreamEntry.Unusable(
                    start,
                    ": " + file.Name.Shown(),
                    -1,
                    "the name stands in the manifest twice, the first entry is used"
                );
            var (path, refusal) = (default(FileName), FileNameRefusal.None);
            if (file.Problem is not null)
                file = file with { Name = IngestEntry.Short(file.Name) };
            else if (FileName.TryParse(file.Name, out var parsed, out refusal) && parsed.Value == file.Name)
                path = parsed;
            entries.Add(new IngestEntry(file, path, refusal, members, listed, start));
            bytes += file.Size;
            next = cursor.Position;
        }

        return new ManifestWindow(entries, next);
    }

    /// <summary>The digest over the members of a directory, and those that are data in spite of their names.</summary>
    private static async Task<(string Members, HashSet<string> Listed)> ReadMembersAsync(
        ManifestCursor cursor,
        CancellationToken cancellationToken
    )
    {
        var print = new MemberFingerprint();
        var listed = new HashSet<string>(StringComparer.Ordinal);
        while (await cursor.ReadMemberAsync(cancellationToken) is { } member)
        {
            print.Add(member.Path, member.Size, member.Sha256);
            ForeignEntries.AddListed(listed, member.Path);
        }

        return (print.ToString(), listed);
    }
}
