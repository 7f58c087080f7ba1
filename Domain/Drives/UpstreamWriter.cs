using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

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
