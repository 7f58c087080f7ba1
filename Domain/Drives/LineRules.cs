using System.Buffers;
using System.Text;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>A line that breaks the rules.</summary>
/// <param name="Kind">Second half of the code: <c>format</c>, <c>path</c> or <c>totals</c>.</param>
/// <param name="What">A half sentence: "the size is negative".</param>
internal sealed record LineProblem(string Kind, string What);

/// <summary>
/// The rules for lines, for writers and readers alike (docs/formats/drive-v1.md). A check returns null when the line keeps them.
/// </summary>
internal static class LineRules
{
    /// <summary>Longest path of a member, bytes of UTF-8.</summary>
    internal const int MaxMemberPathBytes = 4096;

    /// <summary>
    /// Longest path of a member that this site writes to drives, bytes of UTF-8: PostgreSQL's indexes hold no longer paths.
    /// </summary>
    internal const int MaxWrittenPathBytes = 2000;

    private const int MaxTextLength = FormatText.MaxLength;
    private const int DigestLength = 64;

    private static readonly SearchValues<char> s_hexadecimal = SearchValues.Create("0123456789abcdef");

    internal static LineProblem? Check(ManifestHeader header) =>
        Text("site", header.Site)
        ?? Text("drive", header.Drive)
        ?? Text("destination", header.Destination)
        ?? (header.Trip < 1 ? Format("the trip is less than 1") : null)
        ?? (header.Files < 0 || header.Members < 0 || header.Bytes < 0 ? new LineProblem("totals", "a total is negative") : null);

    internal static LineProblem? Check(ManifestFile file) =>
        Name(file.Name)
        ?? Values(file)
        ?? (file.Sha256 is null == file.Members is null ? Format("there must be either 'sha256' or 'members'") : null)
        ?? (file.Sha256 is null ? null : Digest(file.Sha256))
        ?? (file.Members < 0 ? Format("the number of members is negative") : null);

    /// <summary>The same for an entry of an upstream manifest, which has neither digest nor members.</summary>
    internal static LineProblem? CheckUpstream(ManifestFile file) => Name(file.Name) ?? Values(file);

    internal static LineProblem? Check(ManifestMember member) =>
        MemberPath(member.Path) ?? (member.Size < 0 ? Format("the size is negative") : null) ?? Digest(member.Sha256);

    /// <summary>Why no manifest can hold a member with this path; null when one can. JSON cannot hold a name that is not UTF-8.</summary>
    internal static string? MemberRefusal(string path) =>
        Encoding.UTF8.GetByteCount(path) > MaxWrittenPathBytes
            ? $"a path in it is longer than {MaxWrittenPathBytes} bytes; a drive cannot carry it"
        : !PathBytes.IsUnicode(path)
            ? $"the path {Quote(path)} in it is not valid UTF-8; rename it and ingest it as a new file; a drive cannot carry it"
        : MemberPath(path) is { } problem ? problem.What + " (in it); a drive cannot carry it"
        : null;

    /// <summary>Why no manifest can hold such a file; null when one can.</summary>
    internal static string? FileRefusal(string name, string checksum, string uploader, string source) =>
        (Name(name) ?? Texts(checksum, uploader, source))?.What;

    internal static LineProblem? Check(ReceiptHeader header) =>
        Text("site", header.Site)
        ?? Text("drive", header.Drive)
        ?? Text("source", header.Source)
        ?? Digest(header.ManifestSha256)
        ?? (header.Trip < 1 ? Format("the trip is less than 1") : null)
        ?? (header.Files < 0 ? new LineProblem("totals", "the total is negative") : null);

    internal static LineProblem? Check(ReceiptLine line) =>
        Name(line.Name)
        ?? (line.Checksum.Length == 0 || !PathBytes.IsUnicode(line.Checksum) ? Format("the checksum is empty or not valid Unicode") : null)
        ?? (line.OutgoingTransferId < 0 ? Format("the outgoing transfer is negative") : null)
        ?? (
            line.Outcome == ReceiptOutcome.Stored && (line.StoreId is null || line.Message is not null)
                ? Format("a stored file has a store and no message")
                : null
        )
        ?? (
            line.Outcome == ReceiptOutcome.Failed && (line.StoreId is not null || line.Message is null)
                ? Format("a failed file has a message and no store")
                : null
        );

    /// <summary>
    /// Whether a text is the canonical base64 form of 64 bytes; a decoder alone would ignore the unused bits of the last digit.
    /// </summary>
    internal static bool TryDecodeSignature(string text, Span<byte> signature) =>
        Convert.TryFromBase64String(text, signature, out var count)
        && count == signature.Length
        && string.Equals(Convert.ToBase64String(signature), text, StringComparison.Ordinal);

    private static LineProblem? Values(ManifestFile file) =>
        file.Size < 0 ? Format("the size is negative")
        : Texts(file.Checksum, file.Uploader, file.Source) is { } text ? text
        : file.DeletionPolicy is not (DeletionPolicy.Disallowed or DeletionPolicy.Allowed)
            ? Format("the deletion policy is neither 0 nor 1")
        : file.OutgoingTransferId < -1 ? Format("the outgoing transfer is less than -1")
        : null;

    // Limits of a catalog: PostgreSQL refuses U+0000, and columns end at 256 characters.
    private static LineProblem? Texts(string checksum, string uploader, string source) =>
        checksum.Length == 0 ? Format("the checksum is empty")
        : new[] { checksum, uploader, source }.Any(t => !PathBytes.IsUnicode(t)) ? Format("a text is not valid Unicode")
        : new[] { checksum, uploader, source }.Any(t => t.Length > MaxTextLength || t.Contains('\0', StringComparison.Ordinal))
            ? Format($"a text is longer than {MaxTextLength} characters or has a zero character")
        : null;

    private static LineProblem? Name(string name) =>
        !FileName.TryParse(name, out var path, out var refusal)
            ? new LineProblem("path", $"the name {Quote(name)} is no name in a store: {FileName.Describe(refusal)}")
        : !string.Equals(path.Value, name, StringComparison.Ordinal)
            ? new LineProblem("path", $"the name {Quote(name)} should read {Quote(path.Value)}")
        : null;

    private static LineProblem? MemberPath(string path)
    {
        var what =
            path.Length == 0 ? "is empty"
            : path[0] == '/' ? "is absolute"
            : path.Contains('\0', StringComparison.Ordinal) ? "has a zero character"
            : !PathBytes.IsUnicode(path) ? "is not valid Unicode"
            : Encoding.UTF8.GetByteCount(path) > MaxMemberPathBytes ? $"is longer than {MaxMemberPathBytes} bytes"
            : Components(path);
        return what is null ? null : new LineProblem("path", $"the path {Quote(path)} {what}");
    }

    private static string? Components(ReadOnlySpan<char> path)
    {
        foreach (var range in path.Split('/'))
        {
            var component = path[range];
            if (component is "" or "." or "..")
                return "has an empty, '.' or '..' component";
            if (Encoding.UTF8.GetByteCount(component) > FileName.MaxComponentBytes)
                return $"has a component longer than {FileName.MaxComponentBytes} bytes";
        }

        return null;
    }

    private static LineProblem? Digest(string text) =>
        text.Length == DigestLength && !text.AsSpan().ContainsAnyExcept(s_hexadecimal)
            ? null
            : Format("a SHA-256 is not 64 lower-case hexadecimal digits");

    private static LineProblem? Text(string key, string text) => FormatText.Problem(key, text) is { } what ? Format(what) : null;

    private static LineProblem Format(string what) => new("format", what);

    // A hostile drive's texts end up in logs and on terminals: remove control characters and limit the length.
    private static string Quote(string text) => "'" + (text.Length > 200 ? text[..200].Shown() + "…'" : text.Shown() + "'");
}
