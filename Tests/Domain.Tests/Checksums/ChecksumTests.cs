using CsCheck;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Checksums;

[Quick]
public class ChecksumTests
{
    [Theory]
    [InlineData("md5:::abc", ChecksumAlgorithm.Md5, "abc")]
    [InlineData("xxh3:::0f", ChecksumAlgorithm.Xxh3, "0f")]
    [InlineData("sha1:::1", ChecksumAlgorithm.Sha1, "1")]
    [InlineData("sha256:::1", ChecksumAlgorithm.Sha256, "1")]
    [InlineData("sha512:::1", ChecksumAlgorithm.Sha512, "1")]
    [InlineData("abc", ChecksumAlgorithm.Md5, "abc")]
    [InlineData("", ChecksumAlgorithm.Md5, "")]
    [InlineData("MD5:::abc", ChecksumAlgorithm.Md5, "MD5:::abc")]
    [InlineData("sha224:::abc", ChecksumAlgorithm.Md5, "sha224:::abc")]
    [InlineData("xxh3::abc", ChecksumAlgorithm.Md5, "xxh3::abc")]
    [InlineData(" xxh3:::abc", ChecksumAlgorithm.Md5, " xxh3:::abc")]
    [InlineData("xxh3:::", ChecksumAlgorithm.Xxh3, "")]
    public void Parse_AnyText_GivesAlgorithmAndDigestAndKeepsText(string text, ChecksumAlgorithm algorithm, string digest)
    {
        var checksum = Checksum.Parse(text);
        Assert.Equal(algorithm, checksum.Algorithm);
        Assert.Equal(digest, checksum.Digest);
        Assert.Equal(text, checksum.ToString());
    }

    [Theory]
    [InlineData("abc", "md5:::abc", ChecksumComparison.Equal)]
    [InlineData("abc", "ABC", ChecksumComparison.Different)]
    [InlineData("xxh3:::abc", "xxh3:::abc", ChecksumComparison.Equal)]
    [InlineData("xxh3:::abc", "xxh3:::abd", ChecksumComparison.Different)]
    [InlineData("xxh3:::abc", "abc", ChecksumComparison.DifferentAlgorithms)]
    [InlineData("sha1:::abc", "sha256:::abc", ChecksumComparison.DifferentAlgorithms)]
    public void CompareTo_TwoChecksums_FollowsTheWireRules(string left, string right, ChecksumComparison expected)
    {
        Assert.Equal(expected, Checksum.Parse(left).CompareTo(Checksum.Parse(right)));
        Assert.Equal(expected, Checksum.Parse(right).CompareTo(Checksum.Parse(left)));
    }

    [Fact]
    public void Parse_ArbitraryText_KeepsItByteForByte() =>
        Gen.String.Sample(text =>
            Checksum.Parse(text).Text == text && text.EndsWith(Checksum.Parse(text).Digest, StringComparison.Ordinal)
        );

    [Fact]
    public void FromDigest_Parsed_IsTheSame() =>
        Gen.Int[0, 4]
            .Select(i => ChecksumAlgorithmExtensions.All[i])
            .SelectMany(a => Gen.Byte.Array[a.DigestLength()], (a, d) => (a, d))
            .Sample(x =>
            {
                var made = Checksum.FromDigest(x.a, x.d);
                Assert.Equal(made, Checksum.Parse(made.Text));
                Assert.Equal(Convert.ToHexString(x.d).ToLowerInvariant(), made.Digest);
            });

    [Fact]
    public void FromDigest_WrongLength_Throws() =>
        Assert.Throws<ArgumentException>(() => Checksum.FromDigest(ChecksumAlgorithm.Sha1, new byte[16]));
}
