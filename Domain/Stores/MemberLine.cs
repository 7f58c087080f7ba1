namespace Librarian.Domain.Stores;

/// <summary>One member in <see cref="AdditionResult.MembersFile"/>.</summary>
/// <param name="Path">Relative to the directory.</param>
/// <param name="Size">In bytes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
public sealed record MemberLine(string Path, long Size, string Sha256);

[System.Text.Json.Serialization.JsonSerializable(typeof(MemberLine))]
internal sealed partial class MemberLineJson : System.Text.Json.Serialization.JsonSerializerContext;
