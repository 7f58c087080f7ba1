using System.Text.Json.Serialization;

namespace Librarian.Domain.Drives;

/// <summary>Result for a row of <c>drive_contents</c> whose file is on the drive.</summary>
internal sealed record StoredContent(long Id, string? Sha256, long Members);

[JsonSerializable(typeof(StoredContent[]))]
internal sealed partial class StoredContentJson : JsonSerializerContext;
