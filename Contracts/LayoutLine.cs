using System.Text.Json.Serialization;

namespace Librarian.Contracts;

/// <summary>A line of the layout of a data batch (docs/spec/data-batches.md#layout).</summary>
/// <param name="Transfer">The destination's id of a transfer that begins here.</param>
/// <param name="Type"><c>file</c>, <c>directory</c> or <c>link</c>.</param>
/// <param name="Path">Path of a member below its directory.</param>
/// <param name="PathBytes">The path, if it is not UTF-8.</param>
/// <param name="Size">Bytes of a file, or of all files of a transfer.</param>
/// <param name="Executable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link.</param>
/// <param name="TargetBytes">The target, if it is not UTF-8.</param>
/// <param name="Members">Number of members, in the line that ends a directory.</param>
/// <param name="Account">The account that made the batch; only in the first line of the site's own file.</param>
internal sealed record LayoutLine(
    long? Transfer = null,
    string? Type = null,
    string? Path = null,
    byte[]? PathBytes = null,
    long? Size = null,
    bool? Executable = null,
    string? Target = null,
    byte[]? TargetBytes = null,
    long? Members = null,
    string? Account = null
)
{
    internal const string File = "file";
    internal const string Directory = "directory";
    internal const string Link = "link";
}

/// <summary>JSON of layouts.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull
)]
[JsonSerializable(typeof(LayoutLine))]
internal sealed partial class LayoutJson : JsonSerializerContext;
