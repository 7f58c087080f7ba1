using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using NSec.Cryptography;

namespace Librarian.Domain.Security;

/// <summary>
/// The public Ed25519 key (RFC 8032) that verifies a site's signatures. A key has exactly one text form (docs/formats/drive-v1.md "Public
/// keys"), so equal keys have equal texts.
/// </summary>
[JsonConverter(typeof(SitePublicKeyConverter))]
public sealed record SitePublicKey
{
    private const string Prefix = "ed25519:";
    private const int Length = 32;
    private const int FingerprintBytes = 16;

    private readonly string _text;
    private readonly PublicKey _key;

    internal SitePublicKey(PublicKey key)
    {
        _key = key;
        var bytes = key.Export(KeyBlobFormat.RawPublicKey);
        _text = Prefix + Convert.ToBase64String(bytes);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, FingerprintBytes));
        Fingerprint = string.Join(' ', digest.Chunk(4).Select(group => new string(group)));
    }

    /// <summary>
    /// Short form that two people compare over the telephone: the first 32 hexadecimal digits of the key's SHA-256, in groups of four.
    /// </summary>
    public string Fingerprint { get; }

    /// <summary>Reads <c>ed25519:BASE64</c>; false for any other text, including other base64 spellings of a key.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out SitePublicKey? key)
    {
        key = null;
        Span<byte> bytes = stackalloc byte[Length];
        if (
            text is null
            || !text.StartsWith(Prefix, StringComparison.Ordinal)
            || !Convert.TryFromBase64Chars(text.AsSpan(Prefix.Length), bytes, out var count)
            || count != Length
            || !PublicKey.TryImport(SignatureAlgorithm.Ed25519, bytes, KeyBlobFormat.RawPublicKey, out var imported)
            || imported is null
        )
            return false;
        var parsed = new SitePublicKey(imported);
        if (!string.Equals(parsed._text, text, StringComparison.Ordinal))
            return false;
        key = parsed;
        return true;
    }

    /// <summary>
    /// Whether the 64 bytes of <paramref name="signature"/> are a signature over <paramref name="data"/> by the private key.
    /// </summary>
    public bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature) => SignatureAlgorithm.Ed25519.Verify(_key, data, signature);

    /// <inheritdoc/>
    public bool Equals(SitePublicKey? other) => other is not null && string.Equals(_text, other._text, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(_text);

    /// <summary><c>ed25519:BASE64</c>.</summary>
    public override string ToString() => _text;
}

/// <summary>Writes a public key as its text.</summary>
internal sealed class SitePublicKeyConverter : JsonConverter<SitePublicKey>
{
    public override SitePublicKey Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String && SitePublicKey.TryParse(reader.GetString(), out var key)
            ? key
            : throw new JsonException("Not a public key.");

    public override void Write(Utf8JsonWriter writer, SitePublicKey value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToString());
}
