using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>Summary of a manifest of the Python Librarian.</summary>
/// <param name="LibrarianName">The site that wrote it.</param>
/// <param name="StoreName">Its store.</param>
/// <param name="Files">Entries.</param>
/// <param name="Bytes">Sum of their sizes.</param>
/// <param name="Sha256">Digest of the whole file, lower-case hexadecimal: its identity, since it has no seal.</param>
/// <param name="Unusable">Number of entries that cannot be used; their files are not ingested, the others are.</param>
public sealed record UpstreamHeader(string LibrarianName, string StoreName, long Files, long Bytes, string Sha256, long Unusable = 0);

/// <summary>Result of reading a whole upstream manifest; codes as for <see cref="ManifestCheck"/>, as far as they can occur.</summary>
public sealed record UpstreamCheck
{
    /// <summary>
    /// Whether it can be read to its end; entries that cannot be used are skipped one by one. Nothing proves that it is genuine.
    /// </summary>
    [MemberNotNullWhen(true, nameof(Header))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>Its contents.</summary>
    public UpstreamHeader? Header { get; init; }

    /// <summary>Why it is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>One entry of <c>store_files</c> (docs/spec/wire.md#store-manifest).</summary>
internal sealed record UpstreamEntry
{
    public required string Name { get; init; }

    [JsonConverter(typeof(NaiveTimeConverter))]
    public required DateTime CreateTime { get; init; }

    public required long Size { get; init; }

    public required string Checksum { get; init; }

    public required string Uploader { get; init; }

    public required string Source { get; init; }

    public string InstancePath { get; init; } = "";

    public required DeletionPolicy DeletionPolicy { get; init; }

    [JsonConverter(typeof(NaiveTimeConverter))]
    public DateTime InstanceCreateTime { get; init; }

    public bool InstanceAvailable { get; init; } = true;

    public required long OutgoingTransferId { get; init; }

    /// <summary>
    /// Reads an entry of the list. An entry that cannot be used does not block the others: it becomes a file with a
    /// <see cref="ManifestFile.Problem"/>, whose name contains its offset and so differs from all other entries.
    /// </summary>
    /// <param name="value">The JSON value.</param>
    /// <param name="position">Its offset.</param>
    internal static ManifestFile Read(ReadOnlySpan<byte> value, long position)
    {
        if (FormatJson.Parse(value, DriveJson.Default.UpstreamEntry) is not { } entry)
            return Unusable(position, "", -1, "it lacks something, or a value is of the wrong kind");
        var file = entry.ToFile();
        var problem = file.Size > LargestSize ? "the size is that of no file" : LineRules.CheckUpstream(file)?.What;
        return problem is null ? file : Unusable(position, ": " + entry.Name.Shown(), Math.Max(-1, entry.OutgoingTransferId), problem);
    }

    internal static ManifestFile Unusable(long position, string name, long outgoingTransferId, string problem) =>
        new()
        {
            Name = $"entry at byte {position}{name}",
            Size = 0,
            Checksum = "",
            CreateTime = DateTime.UnixEpoch,
            Uploader = "",
            Source = "",
            DeletionPolicy = DeletionPolicy.Disallowed,
            OutgoingTransferId = outgoingTransferId,
            Problem = problem,
        };

    // An exbibyte: sums of several still fit in 64 bits, and no medium holds one.
    private const long LargestSize = 1L << 60;

    private ManifestFile ToFile() =>
        new()
        {
            Name = Name,
            Size = Size,
            Checksum = Checksum,
            CreateTime = CreateTime,
            Uploader = Uploader,
            Source = Source,
            DeletionPolicy = DeletionPolicy,
            OutgoingTransferId = OutgoingTransferId,
        };
}

/// <summary>
/// The manifest of the Python Librarian 5.0 (docs/formats/drive-v1.md "manifest.upstream.json", docs/spec/wire.md#store-manifest), of any
/// length in bounded memory.
/// </summary>
public static class UpstreamManifest
{
    /// <summary>The manifest's name in the root of a drive.</summary>
    public const string FileName = "manifest.upstream.json";

    private const string Remedy =
        "Nothing was taken from the drive and nothing was changed. "
        + "Have the source write its manifest again (librarian get-store-manifest).";

    /// <summary>Reads the manifest once from start to end.</summary>
    public static async Task<UpstreamCheck> CheckAsync(Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stream);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        try
        {
            return await new UpstreamDocument(new JsonValueStream(stream, hash), hash).CheckAsync(cancellationToken);
        }
        catch (JsonStreamException failure)
        {
            return Refuse(failure.Kind, $"The upstream manifest cannot be read to its end: {failure.Message}.");
        }
    }

    /// <summary>The same for a file; <c>manifest.missing</c> when there is none.</summary>
    public static async Task<UpstreamCheck> CheckAsync(string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            var stream = DriveFile.TryOpenRead(path);
            if (stream is null)
                return Refuse("missing", $"There is no upstream manifest '{path}'. Another directory may be mounted here.");
            await using (stream)
                return await CheckAsync(stream, cancellationToken);
        }
        catch (Exception failure) when (DriveFile.IsReadFailure(failure))
        {
            return Refuse(
                "unreadable",
                $"The upstream manifest '{path}' cannot be read: {failure.Message}. The drive may be failing; copy what it still gives."
            );
        }
    }

    /// <summary>Writes the part of a manifest that the Python Librarian needs, from the cursor's position to the end.</summary>
    public static async Task WriteAsync(ManifestCursor manifest, Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(stream);
        await using var writer = new UpstreamWriter(stream, manifest.Header);
        while (await manifest.ReadFileAsync(cancellationToken) is { } file)
            await writer.WriteAsync(file, cancellationToken);
        await writer.EndAsync(cancellationToken);
    }

    internal static UpstreamCheck Refuse(string kind, string what) =>
        new() { Refusal = new DriveRefusal($"manifest.{kind}", $"{what} {Remedy}") };
}

/// <summary>The document around the entries. Its keys may have any order.</summary>
internal sealed class UpstreamDocument(JsonValueStream json, IncrementalHash hash)
{
    private string? _librarian;
    private string? _store;
    private long? _files;
    private long _bytes;
    private long _unusable;
    private string? _firstProblem;

    /// <summary>Goes to the first entry; from there entries are read one by one.</summary>
    /// <exception cref="JsonStreamException">There is no list of entries.</exception>
    internal static async Task SeekFirstEntryAsync(JsonValueStream json, CancellationToken cancellationToken)
    {
        await json.SkipMarkAsync(cancellationToken);
        await json.TakeAsync("{", cancellationToken);
        while (await ReadKeyAsync(json, cancellationToken) != "store_files")
        {
            await json.ReadValueAsync(cancellationToken);
            if (await json.TakeAsync(",}", cancellationToken) == '}')
                throw new JsonStreamException("format", "it has no 'store_files'");
        }

        await json.TakeAsync("[", cancellationToken);
    }

    internal async Task<UpstreamCheck> CheckAsync(CancellationToken cancellationToken)
    {
        await json.SkipMarkAsync(cancellationToken);
        await json.TakeAsync("{", cancellationToken);
        do
        {
            switch (await ReadKeyAsync(json, cancellationToken))
            {
                case "librarian_name":
                    _librarian = await ReadTextAsync(json, cancellationToken);
                    break;
                case "store_name":
                    _store = await ReadTextAsync(json, cancellationToken);
                    break;
                case "store_files":
                    if (_files is not null)
                        throw new JsonStreamException("format", "it has 'store_files' twice");
                    _files = 0;
                    await ReadEntriesAsync(cancellationToken);
                    break;
                default:
                    await json.ReadValueAsync(cancellationToken);
                    break;
            }
        } while (await json.TakeAsync(",}", cancellationToken) == ',');

        if (await json.PeekAsync(cancellationToken) >= 0)
            throw new JsonStreamException("format", $"something follows its end at byte {json.Position}");
        if (string.IsNullOrEmpty(_librarian) || _store is null || _files is null)
            return UpstreamManifest.Refuse(
                "format",
                "This is no upstream manifest: 'librarian_name', 'store_name' or 'store_files' is missing."
            );
        // The list is of another kind altogether.
        if (_unusable > 0 && _unusable == _files)
            return UpstreamManifest.Refuse("format", $"No entry of the upstream manifest can be used. The first, {_firstProblem}.");
        return new UpstreamCheck
        {
            Header = new UpstreamHeader(
                _librarian,
                _store,
                _files.Value,
                _bytes,
                Convert.ToHexStringLower(hash.GetHashAndReset()),
                _unusable
            ),
        };
    }

    private static async ValueTask<string> ReadKeyAsync(JsonValueStream json, CancellationToken cancellationToken)
    {
        var key = await ReadTextAsync(json, cancellationToken);
        await json.TakeAsync(":", cancellationToken);
        return key;
    }

    private static async ValueTask<string> ReadTextAsync(JsonValueStream json, CancellationToken cancellationToken)
    {
        var start = json.Position;
        var value = await json.ReadValueAsync(cancellationToken);
        return FormatJson.Parse(value.Span, DriveJson.Default.String)
            ?? throw new JsonStreamException("format", $"at byte {start} should stand a text");
    }

    private async ValueTask ReadEntriesAsync(CancellationToken cancellationToken)
    {
        await json.TakeAsync("[", cancellationToken);
        if (await json.PeekAsync(cancellationToken) == ']')
        {
            await json.TakeAsync("]", cancellationToken);
            return;
        }

        do
        {
            await json.PeekAsync(cancellationToken);
            var position = json.Position;
            var value = await json.ReadValueAsync(cancellationToken);
            _files++;
            Add(UpstreamEntry.Read(value.Span, position));
        } while (await json.TakeAsync(",]", cancellationToken) == ',');
    }

    private void Add(ManifestFile file)
    {
        _bytes = file.Size > long.MaxValue - _bytes ? long.MaxValue : _bytes + file.Size;
        if (file.Problem is null)
            return;
        _unusable++;
        _firstProblem ??= $"{file.Name}: {file.Problem}";
    }
}

/// <summary>
/// Reads an upstream manifest that <see cref="UpstreamManifest"/> has accepted. Its files have neither SHA-256 nor members.
/// </summary>
public sealed class UpstreamCursor : IManifestCursor
{
    private readonly Stream _stream;
    private readonly JsonValueStream _json;

    private UpstreamCursor(Stream stream)
    {
        _stream = stream;
        _json = new JsonValueStream(stream);
    }

    /// <inheritdoc/>
    public long Position => _json.Position;

    /// <summary>Opens a manifest; the position is that of the first file.</summary>
    /// <exception cref="InvalidDataException">There is no manifest, or it is not an upstream manifest.</exception>
    public static async Task<UpstreamCursor> OpenAsync(string path, CancellationToken cancellationToken)
    {
        var cursor = new UpstreamCursor(DriveFile.TryOpenRead(path) ?? throw new InvalidDataException($"There is no '{path}'."));
        try
        {
            await UpstreamDocument.SeekFirstEntryAsync(cursor._json, cancellationToken);
            return cursor;
        }
        catch (JsonStreamException failure)
        {
            await cursor.DisposeAsync();
            throw Changed(failure);
        }
    }

    /// <inheritdoc/>
    public void Seek(long offset) => _json.Seek(offset);

    /// <inheritdoc/>
    public async ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken)
    {
        try
        {
            // A position is after an entry, so a comma may precede the next one.
            if (await _json.PeekAsync(cancellationToken) == ',')
                await _json.TakeAsync(",", cancellationToken);
            if (await _json.PeekAsync(cancellationToken) == ']')
                return null;
            var position = Position;
            return UpstreamEntry.Read((await _json.ReadValueAsync(cancellationToken)).Span, position);
        }
        catch (JsonStreamException failure)
        {
            throw Changed(failure);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private static InvalidDataException Changed(JsonStreamException failure) =>
        new($"The upstream manifest is not what was checked: {failure.Message}. Check it again.", failure);
}

/// <summary>Writes the document, one entry per line. The same manifest always gives the same bytes.</summary>
internal sealed class UpstreamWriter : IAsyncDisposable
{
    private const int FlushFrom = 64 * 1024;

    private readonly Stream _stream;
    private readonly ManifestHeader _header;
    private readonly ArrayBufferWriter<byte> _pending = new(2 * FlushFrom);
    private readonly Utf8JsonWriter _json;
    private bool _hasEntries;

    internal UpstreamWriter(Stream stream, ManifestHeader header)
    {
        _stream = stream;
        _header = header;
        _json = new Utf8JsonWriter(_pending, FormatJson.OneLine);
        _pending.Write("{\"librarian_name\":"u8);
        Append(header.Site, DriveJson.Default.String);
        _pending.Write(",\"store_name\":"u8);
        Append(header.Drive, DriveJson.Default.String);
        _pending.Write(",\"store_files\":["u8);
    }

    public ValueTask DisposeAsync() => _json.DisposeAsync();

    internal ValueTask WriteAsync(ManifestFile file, CancellationToken cancellationToken)
    {
        _pending.Write(_hasEntries ? ",\n"u8 : "\n"u8);
        _hasEntries = true;
        Append(ToEntry(file), DriveJson.Default.UpstreamEntry);
        return _pending.WrittenCount < FlushFrom ? ValueTask.CompletedTask : FlushAsync(cancellationToken);
    }

    internal async Task EndAsync(CancellationToken cancellationToken)
    {
        _pending.Write("\n]}\n"u8);
        await FlushAsync(cancellationToken);
        await _stream.FlushAsync(cancellationToken);
    }

    private UpstreamEntry ToEntry(ManifestFile file) =>
        new()
        {
            Name = file.Name,
            CreateTime = file.CreateTime,
            Size = file.Size,
            Checksum = file.Checksum,
            Uploader = file.Uploader,
            // The Python command line uses it as the source of the clone, and only a peer of that name is called back
            // (docs/spec/wire.md#ingest-manifest).
            Source = _header.Site,
            InstancePath = "data/" + file.Name,
            DeletionPolicy = file.DeletionPolicy,
            InstanceCreateTime = _header.Created,
            OutgoingTransferId = file.OutgoingTransferId,
        };

    private void Append<T>(T value, JsonTypeInfo<T> type)
    {
        _json.Reset();
        JsonSerializer.Serialize(_json, value, type);
        _json.Flush();
    }

    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        await _stream.WriteAsync(_pending.WrittenMemory, cancellationToken);
        _pending.ResetWrittenCount();
    }
}
