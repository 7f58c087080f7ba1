using System.Buffers.Binary;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Librarian.Domain.Security;

/// <summary>
/// Fernet tokens (version 0x80: AES-128-CBC, HMAC-SHA256), the format in which peers' credentials are stored
/// (docs/spec/upstream.md#secrets). A key has 32 bytes: 16 to sign, 16 to encrypt.
/// </summary>
public sealed class Fernet
{
    private const byte Version = 0x80;
    private const int HeaderLength = 9;
    private const int BlockLength = 16;
    private const int MacLength = 32;
    private const int KeyLength = 32;

    private readonly byte[] _signing;
    private readonly byte[] _encryption;
    private readonly TimeProvider _time;
    private readonly Action<Span<byte>> _fillInitializationVector;

    private Fernet(ReadOnlySpan<byte> key, TimeProvider time, Action<Span<byte>> fillInitializationVector)
    {
        _signing = key[..BlockLength].ToArray();
        _encryption = key[BlockLength..].ToArray();
        _time = time;
        _fillInitializationVector = fillInitializationVector;
    }

    /// <summary>Creates a cipher from the text of a key.</summary>
    /// <param name="key">32 bytes in URL-safe base64, padded or not.</param>
    /// <param name="time">Provides the time stamps of tokens.</param>
    /// <param name="fernet">The cipher.</param>
    /// <param name="fillInitializationVector">For tests: fills the 16 bytes that must be random. Null for the system's generator.</param>
    /// <returns>False if the text is not such a key. No message contains the key.</returns>
    public static bool TryCreate(
        string? key,
        TimeProvider time,
        [NotNullWhen(true)] out Fernet? fernet,
        Action<Span<byte>>? fillInitializationVector = null
    )
    {
        ArgumentNullException.ThrowIfNull(time);
        fernet = null;
        if (!TryDecode(key, out var bytes) || bytes.Length != KeyLength)
            return false;
        fernet = new Fernet(bytes, time, fillInitializationVector ?? RandomNumberGenerator.Fill);
        return true;
    }

    /// <summary>A new key from the system's generator, in URL-safe base64.</summary>
    public static string GenerateKey() => Encode(RandomNumberGenerator.GetBytes(KeyLength));

    /// <summary>Encrypts a text (as UTF-8) into a token.</summary>
    public string Encrypt(string plaintext)
    {
        ArgumentNullException.ThrowIfNull(plaintext);
        var bytes = Encoding.UTF8.GetBytes(plaintext);
        using var aes = Aes.Create();
        aes.Key = _encryption;

        var cipherLength = aes.GetCiphertextLengthCbc(bytes.Length);
        var token = new byte[HeaderLength + BlockLength + cipherLength + MacLength];
        token[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(token.AsSpan(1), _time.GetUtcNow().ToUnixTimeSeconds());
        var vector = token.AsSpan(HeaderLength, BlockLength);
        _fillInitializationVector(vector);
        aes.EncryptCbc(bytes, vector, token.AsSpan(HeaderLength + BlockLength, cipherLength));
        HMACSHA256.HashData(_signing, token.AsSpan(..^MacLength), token.AsSpan(^MacLength..));
        return Encode(token);
    }

    /// <summary>
    /// Decrypts a token. Tokens do not expire, as upstream's do not. The signature is checked in constant time before anything is
    /// decrypted.
    /// </summary>
    /// <returns>False if the token was not made with this key or is damaged.</returns>
    public bool TryDecrypt(string? token, [NotNullWhen(true)] out string? plaintext)
    {
        plaintext = null;
        if (
            !TryDecode(token, out var bytes)
            || bytes.Length < HeaderLength + BlockLength + BlockLength + MacLength
            || (bytes.Length - HeaderLength - MacLength) % BlockLength != 0
            || bytes[0] != Version
        )
            return false;

        Span<byte> mac = stackalloc byte[MacLength];
        HMACSHA256.HashData(_signing, bytes.AsSpan(..^MacLength), mac);
        if (!CryptographicOperations.FixedTimeEquals(mac, bytes.AsSpan(^MacLength..)))
            return false;

        using var aes = Aes.Create();
        aes.Key = _encryption;
        try
        {
            var plain = aes.DecryptCbc(
                bytes.AsSpan(HeaderLength + BlockLength, bytes.Length - HeaderLength - BlockLength - MacLength),
                bytes.AsSpan(HeaderLength, BlockLength)
            );
            plaintext = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(plain);
            return true;
        }
        catch (Exception failure) when (failure is CryptographicException or DecoderFallbackException)
        {
            return false;
        }
    }

    private static string Encode(byte[] bytes) => Convert.ToBase64String(bytes).Replace('+', '-').Replace('/', '_');

    private static bool TryDecode(string? text, out byte[] bytes)
    {
        bytes = [];
        if (string.IsNullOrEmpty(text))
            return false;
        try
        {
            bytes = Base64Url.DecodeFromChars(text);
            return true;
        }
        catch (FormatException)
        {
            return false;
        }
    }
}
