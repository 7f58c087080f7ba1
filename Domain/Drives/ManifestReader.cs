using System.Diagnostics.CodeAnalysis;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>Result of reading a whole manifest: a header and seal, or a refusal with one of these codes.</summary>
/// <remarks>
/// <c>manifest.missing</c>, <c>manifest.unreadable</c> (the drive fails), <c>manifest.format</c> (not a manifest, or a line breaks the
/// rules), <c>manifest.version</c>, <c>manifest.truncated</c> (no valid last line), <c>manifest.edited</c> (the bytes are not those that
/// were sealed), <c>manifest.signature</c>, <c>manifest.totals</c>, <c>manifest.path</c> (a name that would leave the store),
/// <c>manifest.duplicate</c> (a name twice).
/// </remarks>
public sealed record ManifestCheck
{
    /// <summary>Whether every check passed.</summary>
    [MemberNotNullWhen(true, nameof(Header), nameof(Seal))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>
    /// The first line. Its <see cref="ManifestHeader.SiteKey"/> made the signature; the caller still has to compare it with the key known
    /// for the site.
    /// </summary>
    public ManifestHeader? Header { get; init; }

    /// <summary>Digest and totals.</summary>
    public ManifestSeal? Seal { get; init; }

    /// <summary>Why the manifest is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>Checks manifests. Memory does not grow with the lines, except for 16 to 32 bytes per name to find duplicates.</summary>
public static class ManifestReader
{
    /// <summary>Reads the manifest once from start to end and checks everything except that its key is the site's.</summary>
    /// <remarks>Data on a drive may change between two reads: check and use a copy of your own.</remarks>
    public static async Task<ManifestCheck> CheckAsync(Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var check = new Check();
        return check.Result(await check.RunAsync(stream, cancellationToken));
    }

    /// <summary>The same for a file; <c>manifest.missing</c> when there is none.</summary>
    public static async Task<ManifestCheck> CheckAsync(string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var check = new Check();
        return check.Result(await check.RunAsync(path, cancellationToken));
    }

    private sealed class Check()
        : SealedCheck(
            "manifest",
            ManifestHeader.FormatName,
            "The source still has its copy of the manifest and the files' rows: have it write the manifest to the drive again."
        )
    {
        private readonly ManifestLines _lines = new();
        private readonly NameSet _names = new();
        private ManifestHeader? _header;
        private ManifestEnd? _end;

        protected override SitePublicKey? Key => _header?.SiteKey;

        internal ManifestCheck Result(DriveRefusal? refusal) =>
            refusal is null
                ? new ManifestCheck { Header = _header, Seal = new ManifestSeal(Digest, _lines.Totals) }
                : new ManifestCheck { Refusal = refusal };

        protected override LineProblem? Read(ReadOnlySpan<byte> line, long number)
        {
            if (number == 1)
                return (_header = FormatJson.Parse(line, DriveJson.Default.ManifestHeader)) is null
                    ? new LineProblem("format", "the header lacks something")
                    : LineRules.Check(_header);
            if (_lines.ExpectsMember)
                return FormatJson.Parse(line, DriveJson.Default.ManifestMember) is { } member
                    ? _lines.Add(member)
                    : new LineProblem("format", "it is not a member of the directory before");
            if (FormatJson.Parse(line, DriveJson.Default.ManifestFile) is not { } file)
                return new LineProblem("format", "it is not a file");
            if (_lines.Add(file) is { } problem)
                return problem;
            _names.Add(file.Name);
            return null;
        }

        protected override (string Sha256, string Signature)? ReadEnd(ReadOnlySpan<byte> line) =>
            (_end = FormatJson.Parse(line, DriveJson.Default.ManifestEnd)) is { End: ManifestHeader.FormatName }
                ? (_end.Sha256, _end.Signature)
                : null;

        protected override LineProblem? CheckWhole()
        {
            if (_lines.End() is { } problem)
                return problem;
            if (new ManifestTotals(_header!.Files, _header.Members, _header.Bytes) != _lines.Totals)
                return new LineProblem("totals", "the totals of its first line are not those of its lines");
            if (new ManifestTotals(_end!.Files, _end.Members, _end.Bytes) != _lines.Totals)
                return new LineProblem("totals", "the totals of its last line are not those of its lines");
            return _names.HasDuplicate() ? new LineProblem("duplicate", "a name stands in it twice") : null;
        }
    }
}
