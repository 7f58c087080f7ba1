using System.Security.Cryptography;
using System.Text;
using NSec.Cryptography;

namespace Librarian.Domain.Security;

/// <summary>A site's private key. It never leaves its file: no message, log or text form contains it.</summary>
public sealed class SiteSigningKey : IDisposable
{
    /// <summary>Length of a seed, bytes.</summary>
    public const int SeedLength = 32;

    private const string Prefix = "ed25519-private:";
    private readonly Key _key;

    private SiteSigningKey(Key key)
    {
        _key = key;
        PublicKey = new SitePublicKey(key.PublicKey);
    }

    /// <summary>The public key.</summary>
    public SitePublicKey PublicKey { get; }

    /// <summary>
    /// Reads the key in the file <paramref name="path"/>: one line <c>ed25519-private:BASE64</c> with the 32 bytes that RFC 8032 calls the
    /// private key. A missing file is generated, with mode 0600, and is on disk before the key is used.
    /// </summary>
    /// <exception cref="InvalidOperationException">The file holds something else.</exception>
    public static SiteSigningKey OpenOrCreate(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!File.Exists(path))
            SecretFile.CreateOnce(
                path,
                Encoding.ASCII.GetBytes(Prefix + Convert.ToBase64String(RandomNumberGenerator.GetBytes(SeedLength)) + "\n")
            );
        var text = File.ReadAllText(path).Trim();
        Span<byte> seed = stackalloc byte[SeedLength];
        return
            text.StartsWith(Prefix, StringComparison.Ordinal)
            && Convert.TryFromBase64Chars(text.AsSpan(Prefix.Length), seed, out var count)
            && count == SeedLength
            ? FromSeed(seed)
            : throw new InvalidOperationException(
                $"{path} does not hold a signing key ({Prefix} and 32 bytes in base64). "
                    + "Restore it from your backup: sites that know the old key refuse what a new one signs. Nothing was changed."
            );
    }

    /// <summary>Makes the key for a seed; the same seed always gives the same key.</summary>
    /// <param name="seed">32 bytes.</param>
    public static SiteSigningKey FromSeed(ReadOnlySpan<byte> seed) =>
        new(Key.Import(SignatureAlgorithm.Ed25519, seed, KeyBlobFormat.RawPrivateKey));

    /// <summary>Signs <paramref name="data"/>, 64 bytes; the same data always give the same signature.</summary>
    public byte[] Sign(ReadOnlySpan<byte> data) => SignatureAlgorithm.Ed25519.Sign(_key, data);

    /// <inheritdoc/>
    public void Dispose() => _key.Dispose();
}
