using Librarian.Domain.Security;
using Librarian.Tests.Domain.Drives;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Security;

[Quick]
public class SiteKeyTests
{
    /// <summary>RFC 8032 §7.1.</summary>
    [Theory]
    [InlineData(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )]
    [InlineData(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )]
    [InlineData(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )]
    public void Sign_VectorOfTheRfc_GivesItsSignature(string seed, string publicKey, string message, string signature)
    {
        using var key = SiteSigningKey.FromSeed(Convert.FromHexString(seed));
        Assert.Equal("ed25519:" + Convert.ToBase64String(Convert.FromHexString(publicKey)), key.PublicKey.ToString());
        Assert.Equal(signature, Convert.ToHexStringLower(key.Sign(Convert.FromHexString(message))));
        Assert.True(key.PublicKey.Verify(Convert.FromHexString(message), Convert.FromHexString(signature)));
        Assert.False(key.PublicKey.Verify([1], Convert.FromHexString(signature)));
        Assert.False(key.PublicKey.Verify(Convert.FromHexString(message), Convert.FromHexString(signature).AsSpan(1)));
        Assert.False(Samples.OtherKey.PublicKey.Verify(Convert.FromHexString(message), Convert.FromHexString(signature)));
    }

    [Fact]
    public void TryParse_ItsOwnText_GivesAnEqualKey()
    {
        Assert.True(SitePublicKey.TryParse(Samples.Key.PublicKey.ToString(), out var key));
        Assert.Equal(Samples.Key.PublicKey, key);
        Assert.Equal(Samples.Key.PublicKey.GetHashCode(), key.GetHashCode());
        Assert.NotEqual(Samples.OtherKey.PublicKey, key);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("ed25519:")]
    [InlineData("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")]
    [InlineData("ED25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")]
    [InlineData("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh=")]
    [InlineData("ed25519: A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")]
    [InlineData("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n")]
    [InlineData("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMQ==")]
    [InlineData("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=AAAA")]
    public void TryParse_OtherText_IsFalse(string? text) => Assert.False(SitePublicKey.TryParse(text, out _));

    [Fact]
    public void Fingerprint_AnyKey_IsTheDigestInGroups()
    {
        Assert.True(SitePublicKey.TryParse("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", out var key));
        Assert.Equal("5647 5aa7 5463 474c 0285 df5d bf2b cab7", key.Fingerprint);
    }

    [Fact]
    public void OpenOrCreate_NoFile_MakesOneThatIsPrivateAndStays()
    {
        using var directory = new TemporaryDirectory();
        var path = directory["data/signing.key"];
        using var first = SiteSigningKey.OpenOrCreate(path);
        using var second = SiteSigningKey.OpenOrCreate(path);
        Assert.Equal(first.PublicKey, second.PublicKey);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        Assert.Equal([path], Directory.GetFiles(directory["data"]));
    }

    [Fact]
    public void OpenOrCreate_ManyAtOnce_AgreeOnOneKey()
    {
        using var directory = new TemporaryDirectory();
        var path = directory["signing.key"];
        var keys = new SitePublicKey[16];
        Parallel.For(0, keys.Length, i =>
        {
            using var key = SiteSigningKey.OpenOrCreate(path);
            keys[i] = key.PublicKey;
        });
        Assert.Single(keys.Distinct());
        Assert.Equal([path], Directory.GetFiles(directory));
    }

    [Theory]
    [InlineData("")]
    [InlineData("ed25519-private:AAAA")]
    [InlineData("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    public void OpenOrCreate_OtherContent_SaysHowToGoOnWithoutShowingIt(string content)
    {
        using var directory = new TemporaryDirectory();
        var path = directory.Write("signing.key", content);
        var failure = Assert.Throws<InvalidOperationException>(() => SiteSigningKey.OpenOrCreate(path));
        Assert.Contains("backup", failure.Message, StringComparison.Ordinal);
        Assert.True(content.Length == 0 || !failure.Message.Contains(content, StringComparison.Ordinal));
        Assert.Equal(content, File.ReadAllText(path));
    }
}
