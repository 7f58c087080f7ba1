using System.Buffers;
using System.Text.Json;

namespace Librarian.Adopt;

/// <summary>
/// The report file: one JSON object per line for every row that was not simply adopted. It is written during the adoption, so after a crash
/// it shows the progress, while the catalog shows none of it.
/// </summary>
internal sealed class AdoptLog : IAsyncDisposable
{
    private const int FlushBytes = 1 << 16;

    private readonly FileStream _file;
    private readonly ArrayBufferWriter<byte> _pending = new(FlushBytes);
    private readonly Utf8JsonWriter _json;

    private AdoptLog(FileStream file)
    {
        _file = file;
        _json = new Utf8JsonWriter(
            _pending,
            new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
        );
    }

    /// <summary>Creates a new file; an existing file is not overwritten.</summary>
    /// <exception cref="IOException">The file exists or cannot be created.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be created.</exception>
    public static AdoptLog Create(string path) =>
        new(new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, 1, FileOptions.Asynchronous));

    /// <summary>Adds a line; the next <see cref="FlushAsync"/> writes it to the file.</summary>
    public void Add(string kind, string label, AdoptEffect effect, string reason, string? detail)
    {
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("kind", kind);
        _json.WriteString("row", label);
        _json.WriteString("effect", JsonNamingPolicy.SnakeCaseLower.ConvertName(effect.ToString()));
        _json.WriteString("reason", reason);
        if (detail is not null)
            _json.WriteString("detail", detail);
        _json.WriteEndObject();
        _json.Flush();
        _pending.Write("\n"u8);
    }

    /// <summary>Writes the pending lines to the file.</summary>
    public async Task FlushAsync(CancellationToken cancellationToken)
    {
        if (_pending.WrittenCount == 0)
            return;
        await _file.WriteAsync(_pending.WrittenMemory, cancellationToken);
        _pending.ResetWrittenCount();
    }

    public async ValueTask DisposeAsync()
    {
        await FlushAsync(CancellationToken.None);
        await _json.DisposeAsync();
        await _file.DisposeAsync();
    }
}
