using System.Text;
using CsCheck;
using Librarian.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Stores;

[Quick]
public class StoreIdentityTests
{
    private static readonly StoreIdentity Identity = new(new Guid("0e984725-c51c-4bf4-9960-e1c80e27aba0"), "mountain", "main");

    [Fact]
    public void ToBytes_Identity_IsTheFormatAndComesBack()
    {
        Assert.Equal(
            """
            {
              "format": "librarian-store",
              "version": 1,
              "store_id": "0e984725-c51c-4bf4-9960-e1c80e27aba0",
              "site": "mountain",
              "store": "main"
            }

            """,
            Encoding.UTF8.GetString(Identity.ToBytes())
        );
        Assert.Equal(Identity, StoreIdentity.Parse(Identity.ToBytes(), out var problem));
        Assert.Null(problem);
    }

    [Theory]
    [InlineData("0e984725-c51c-4bf4-9960-e1c80e27aba0")]
    [InlineData("0e984725-c51c-4bf4-9960-e1c80e27aba0\n")]
    public void Parse_FirstFormat_HasTheIdentityOnly(string content) =>
        Assert.Equal(new StoreIdentity(Identity.StoreId, null, null), StoreIdentity.Parse(Encoding.UTF8.GetBytes(content), out _));

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("00000000-0000-0000-0000-000000000000")]
    [InlineData("{\"format\":\"librarian-drive\",\"version\":1}")]
    [InlineData("{\"format\":\"librarian-store\"}")]
    [InlineData(
        "{\"format\":\"librarian-store\",\"version\":1,\"store_id\":\"0e984725-c51c-4bf4-9960-e1c80e27aba0\",\"site\":\"mountain\"}"
    )]
    [InlineData("{\"format\":\"librarian-store\",\"version\":1,\"store_id\":\"x\",\"site\":\"mountain\",\"store\":\"main\"}")]
    [InlineData(
        "{\"format\":\"librarian-store\",\"version\":1,\"store_id\":\"0e984725-c51c-4bf4-9960-e1c80e27aba0\","
            + "\"site\":\"\",\"store\":\"main\"}"
    )]
    [InlineData(
        "{\"format\":\"librarian-store\",\"version\":1,\"store_id\":\"0e984725-c51c-4bf4-9960-e1c80e27aba0\","
            + "\"site\":\"a\",\"site\":\"b\",\"store\":\"main\"}"
    )]
    [InlineData(
        "{\"format\":\"librarian-store\",\"version\":1,\"store_id\":\"0e984725-c51c-4bf4-9960-e1c80e27aba0\","
            + "\"site\":\"a\\u0007\",\"store\":\"main\"}"
    )]
    public void Parse_AnythingElse_IsRefusedWithAReason(string content)
    {
        Assert.Null(StoreIdentity.Parse(Encoding.UTF8.GetBytes(content), out var problem));
        Assert.False(string.IsNullOrEmpty(problem));
    }

    [Fact]
    public void Parse_UnknownKeys_AreIgnored() =>
        Assert.Equal(
            Identity,
            StoreIdentity.Parse(
                Encoding.UTF8.GetBytes(
                    Encoding.UTF8.GetString(Identity.ToBytes()).Replace("{", "{\"later\":[1],", StringComparison.Ordinal)
                ),
                out _
            )
        );

    [Fact]
    public void Parse_Names_ComeBack() =>
        Gen.Select(Gen.Guid, Gen.String[1, 256], Gen.String[1, 256])
            .Where(
                (id, site, store) =>
                    id != Guid.Empty
                    && !(site + store).Any(char.IsControl)
                    && !(site + store).Any(char.IsSurrogate)
                    && Encoding.UTF8.GetByteCount(site + store) < 3500
            )
            .Sample(
                (id, site, store) =>
                {
                    var identity = new StoreIdentity(id, site, store);
                    return identity == StoreIdentity.Parse(identity.ToBytes(), out var problem) && problem is null;
                },
                iter: 200
            );

    [Fact]
    public void Parse_TruncatedOrChanged_IsRefusedOrAnother() =>
        Gen.Select(Gen.Int[0, Identity.ToBytes().Length - 1], Gen.Byte)
            .Sample(
                (at, value) =>
                {
                    var whole = Identity.ToBytes();
                    var truncated = StoreIdentity.Parse(whole.AsSpan(0, at), out var problem);
                    // All but the final newline is needed.
                    if (at < whole.Length - 1 && (truncated is not null || string.IsNullOrEmpty(problem)))
                        return false;
                    whole[at] = value;
                    var changed = StoreIdentity.Parse(whole, out problem);
                    return (changed is null) == (problem is not null);
                }
            );

    [Fact]
    public void Parse_AnyBytes_EndInAReasonOrAnIdentity() =>
        Gen.Byte.Array[0, 5000].Sample(bytes => (StoreIdentity.Parse(bytes, out var problem) is null) == (problem is not null));
}
