using System.Security.Cryptography;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

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
