using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>
/// The common check of manifests and receipts: one pass over the lines with a running SHA-256, then the last line's digest and signature.
/// The first line that breaks the rules is remembered while reading continues, because a changed byte explains it better.
/// </summary>
/// <param name="noun">First half of the codes, and the word in messages: <c>manifest</c>.</param>
/// <param name="format">Format name that the first line must have.</param>
/// <param name="remedy">A sentence on how to get a good one.</param>
internal abstract class SealedCheck(string noun, string format, string remedy)
{
    private const int Version = 1;

    /// <summary>Digest of all lines but the last, lower-case hexadecimal.</summary>
    protected string Digest { get; private set; } = "";

    /// <summary>Key in the first line, if that could be read.</summary>
    protected abstract SitePublicKey? Key { get; }

    /// <summary>Opens and checks a file; a missing or unreadable file is a refusal too.</summary>
    internal async Task<DriveRefusal?> RunAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            var stream = DriveFile.TryOpenRead(path);
            if (stream is null)
                return Refuse(
                    "missing",
                    $"There is no {noun} '{path}'. Either another directory is mounted here or the {noun} was never finished."
                );
            await using (stream)
                return await RunAsync(stream, cancellationToken);
        }
        catch (Exception failure) when (DriveFile.IsReadFailure(failure))
        {
            return Refuse(
                "unreadable",
                $"The {noun} '{path}' cannot be read: {failure.Message}. The drive may be failing; copy what it still gives."
            );
        }
    }

    internal async Task<DriveRefusal?> RunAsync(Stream stream, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var lines = new LineReader(stream);
        LineProblem? first = null;
        long firstLine = 0;
        byte[]? last = null;
        for (long number = 1; ; number++)
        {
            var kind = await lines.ReadAsync(cancellationToken);
            if (kind == LineKind.End && last is not null)
                break;
            if (kind == LineKind.TooLong)
                return Refuse("format", $"Line {number} is longer than {LineReader.MaxLength} bytes: this is no {noun}.");
            if (last is not null)
                return Refuse("edited", $"Something was added after the last line of the {noun}.");
            if (number == 1 && Probe(lines.Line.Span, kind) is { } refusal)
                return refusal;
            if (kind != LineKind.Line)
                return Truncated(number);
            if (IsLast(lines.Line.Span))
            {
                last = lines.Line.ToArray();
                Digest = Convert.ToHexStringLower(hash.GetHashAndReset());
                continue;
            }

            hash.AppendData(lines.Line.Span);
            if (first is null && (first = Read(lines.Line.Span, number)) is not null)
                firstLine = number;
        }

        return Judge(last, first, firstLine);
    }

    /// <summary>Whether a line is the last one.</summary>
    internal static bool IsLast(ReadOnlySpan<byte> line) => line.StartsWith("{\"end\":"u8);

    protected DriveRefusal Refuse(string kind, string what) =>
        new($"{noun}.{kind}", $"{what} Nothing was taken from it and nothing was changed. {remedy}");

    /// <summary>Processes a line; returns the problem with it, or null.</summary>
    protected abstract LineProblem? Read(ReadOnlySpan<byte> line, long number);

    /// <summary>Processes the last line; returns its digest and signature, or null when it is damaged.</summary>
    protected abstract (string Sha256, string Signature)? ReadEnd(ReadOnlySpan<byte> line);

    /// <summary>Checks sums, and rules for the whole, after everything else was found right.</summary>
    protected abstract LineProblem? CheckWhole();

    private DriveRefusal? Judge(byte[] last, LineProblem? first, long firstLine)
    {
        if (ReadEnd(last) is not { } seal)
            return Refuse("truncated", $"The last line of the {noun} is damaged, so nothing says that the rest is whole.");
        var at = first is null ? "" : $" The first line that looks wrong is line {firstLine}: {first.What}.";
        if (!string.Equals(seal.Sha256, Digest, StringComparison.Ordinal))
            return Refuse(
                "edited",
                $"The {noun} was changed after it was sealed, or the drive has damaged it: its digest is not the one in its last line.{at}"
            );
        if (Key is null)
            return Refuse(first!.Kind, $"Line {firstLine} of the {noun} breaks the format: {first.What}.");
        Span<byte> signature = stackalloc byte[64];
        if (!LineRules.TryDecodeSignature(seal.Signature, signature) || !Key.Verify(SealedWriter.SignedText(format, Digest), signature))
            return Refuse(
                "signature",
                $"The signature of the {noun} was not made with the key it names ({Key.Fingerprint}). Somebody may have made it up."
            );
        if (first is not null)
            return Refuse(first.Kind, $"Line {firstLine} of the {noun} breaks the format, though it is sealed: {first.What}.");
        return CheckWhole() is { } problem ? Refuse(problem.Kind, $"The {noun} is sealed but contradicts itself: {problem.What}.") : null;
    }

    private DriveRefusal Truncated(long number) =>
        Refuse("truncated", $"The {noun} ends in line {number} without its last line: it was cut off, or writing it was never finished.");

    // Another version may differ in everything, so it is refused before anything else is checked.
    private DriveRefusal? Probe(ReadOnlySpan<byte> line, LineKind kind)
    {
        if (kind != LineKind.Line)
        {
            var start = Encoding.ASCII.GetBytes($"{{\"format\":\"{format}\",\"version\":{Version},");
            return line.StartsWith(start) || start.AsSpan().StartsWith(line) ? null : NotOne();
        }

        if (
            FormatJson.Parse(line, DriveJson.Default.FormatLine) is not { } about
            || !string.Equals(about.Format, format, StringComparison.Ordinal)
            || about.Version is null
        )
            return NotOne();
        return about.Version == Version
            ? null
            : Refuse(
                "version",
                $"The {noun} is of version {about.Version}; this site reads version {Version}. A newer Librarian reads it."
            );
    }

    private DriveRefusal NotOne() => Refuse("format", $"The first line is not that of a {format}.");
}
