using System.Text.Json.Serialization;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

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
