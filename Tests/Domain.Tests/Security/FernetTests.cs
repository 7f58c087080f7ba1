using CsCheck;
using Librarian.Domain.Security;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Security;

[Quick]
public class FernetTests
{
    private const string Key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    private const string Token = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD0PMh760itDh7M-5hS_DqsUpvaWIR7AM76eL2Zpz3pE20Q5RX13K5_xeuyVbzo3d7w==";

    [Fact]
    public void Encrypt_UpstreamsVector_GivesItsToken() =>
        Assert.Equal(Token, Create(Key, DateTimeOffset.FromUnixTimeSeconds(1700000000), CountingVector).Encrypt("user:pass:word"));

    [Fact]
    public void TryDecrypt_UpstreamsVector_GivesItsText()
    {
        Assert.True(Create(Key).TryDecrypt(Token, out var text));
        Assert.Equal("user:pass:word", text);
        Assert.True(Create(Key).TryDecrypt(Token.TrimEnd('='), out _));
    }

    /// <summary>The generate and verify vectors of the Fernet specification.</summary>
    [Fact]
    public void Encrypt_SpecificationsVector_GivesItsToken()
    {
        const string SpecificationKey = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
        const string SpecificationToken =
            "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        var fernet = Create(SpecificationKey, DateTimeOffset.FromUnixTimeSeconds(499162800), CountingVector);
        Assert.Equal(SpecificationToken, fernet.Encrypt("hello"));
        Assert.True(fernet.TryDecrypt(SpecificationToken, out var text));
        Assert.Equal("hello", text);
    }

    /// <summary>The invalid vectors of the Fernet specification that do not concern its optional expiry.</summary>
    [Theory]
    [InlineData("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==")]
    [InlineData("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==")]
    [InlineData("%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==")]
    [InlineData("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm")]
    [InlineData("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==")]
    [InlineData("")]
    [InlineData(null)]
    public void TryDecrypt_InvalidToken_IsFalse(string? token) =>
        Assert.False(Create("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").TryDecrypt(token, out _));

    [Fact]
    public void TryDecrypt_AnyText_ComesBack() =>
        Gen.String.Sample(text =>
        {
            var fernet = Create(Fernet.GenerateKey());
            var valid = System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text));
            Assert.True(fernet.TryDecrypt(fernet.Encrypt(valid), out var decrypted));
            Assert.Equal(valid, decrypted);
        });

    [Fact]
    public void TryDecrypt_AnyByteChanged_IsFalse()
    {
        var fernet = Create(Key);
        var bytes = System.Buffers.Text.Base64Url.DecodeFromChars(Token);
        for (var i = 0; i < bytes.Length; i++)
        {
            var damaged = (byte[])bytes.Clone();
            damaged[i] ^= 1;
            Assert.False(fernet.TryDecrypt(System.Buffers.Text.Base64Url.EncodeToString(damaged), out _));
        }
    }

    [Fact]
    public void TryDecrypt_OtherKey_IsFalse() => Assert.False(Create(Fernet.GenerateKey()).TryDecrypt(Token, out _));

    [Fact]
    public void Encrypt_Twice_DiffersAndFitsTheColumn()
    {
        var fernet = Create(Key);
        Assert.NotEqual(fernet.Encrypt("a"), fernet.Encrypt("a"));
        Assert.InRange(fernet.Encrypt(new string('x', 127)).Length, 1, 256);
        Assert.InRange(fernet.Encrypt(new string('x', 128)).Length, 257, 300);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("not base64!")]
    [InlineData("AAECAwQFBgcICQoLDA0ODw==")]
    public void TryCreate_BadKey_IsFalse(string? key) => Assert.False(Fernet.TryCreate(key, TimeProvider.System, out _));

    private static Fernet Create(string key, DateTimeOffset? now = null, Action<Span<byte>>? fillVector = null)
    {
        var time = new FakeTimeProvider(now ?? DateTimeOffset.UnixEpoch);
        Assert.True(Fernet.TryCreate(key, time, out var fernet, fillVector));
        return fernet;
    }

    private static void CountingVector(Span<byte> vector)
    {
        for (var i = 0; i < vector.Length; i++)
            vector[i] = (byte)i;
    }
}
