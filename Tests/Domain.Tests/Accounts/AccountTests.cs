using CsCheck;
using Librarian.Domain.Accounts;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Accounts;

public sealed class PasswordHasherTests
{
    private const string Sample = "$argon2id$v=19$m=102400,t=2,p=8$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw";
    private static readonly Argon2Cost Cheap = new(64, 1, 1);

    [Fact]
    public async Task Verify_HashMadeByArgon2Cffi_AcceptsOnlyItsPassword()
    {
        using var hasher = new PasswordHasher();
        Assert.True(await hasher.VerifyAsync("password", Sample));
        Assert.False(await hasher.VerifyAsync("Password", Sample));
        Assert.True(hasher.NeedsRehash(Sample));
    }

    [Fact]
    public async Task Hash_Defaults_AreOwaspsAndVerify()
    {
        using var hasher = new PasswordHasher();
        var hash = await hasher.HashAsync("pass:wörd");
        Assert.StartsWith("$argon2id$v=19$m=19456,t=2,p=1$", hash, StringComparison.Ordinal);
        Assert.DoesNotContain('=', hash.Split('$')[4] + hash.Split('$')[5]);
        Assert.True(await hasher.VerifyAsync("pass:wörd", hash));
        Assert.False(hasher.NeedsRehash(hash));
        Assert.NotEqual(hash, await hasher.HashAsync("pass:wörd"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("password")]
    [InlineData("$argon2i$v=19$m=64,t=1,p=1$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw")]
    [InlineData("$argon2id$v=16$m=64,t=1,p=1$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw")]
    [InlineData("$argon2id$v=19$m=99999999,t=1,p=1$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw")]
    [InlineData("$argon2id$v=19$m=64,t=0,p=1$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw")]
    [InlineData("$argon2id$v=19$m=64,t=1,p=1$hsMdyTcthyb6SGuao1vX5w==$0HALQP46EGSm3tqinydpGw")]
    [InlineData("$argon2id$v=19$m=64,t=1,p=1$hsMdyTcthyb6SGuao1vX5w$")]
    [InlineData("$argon2id$v=19$m=64,t=1,p=1$!$0HALQP46EGSm3tqinydpGw")]
    public async Task Verify_NoUsableHash_IsFalse(string? stored)
    {
        using var hasher = new PasswordHasher(new PasswordHasherOptions { Cost = Cheap });
        Assert.False(await hasher.VerifyAsync("password", stored));
    }

    [Fact]
    public void TryParse_WrittenHash_IsTheSame() =>
        Gen.Select(Gen.Byte.Array[8, 40], Gen.Byte.Array[4, 70], Gen.Int[1, 8], Gen.Int[1, 9])
            .Sample(
                (salt, hash, lanes, iterations) =>
                {
                    var cost = new Argon2Cost(lanes * 8, iterations, lanes);
                    var text = PasswordHash.Create(cost, salt, hash).ToString();
                    Assert.True(PasswordHash.TryParse(text, out var parsed));
                    Assert.Equal(cost, parsed.Cost);
                    Assert.Equal(text, parsed.ToString());
                }
            );

    [Fact]
    public async Task Verify_ManyAtOnce_AllAnswer()
    {
        using var hasher = new PasswordHasher(new PasswordHasherOptions { Cost = Cheap, MaxConcurrency = 2 });
        var hash = await hasher.HashAsync("x");
        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(i => hasher.VerifyAsync(i % 2 == 0 ? "x" : "y", hash)));
        Assert.Equal(25, answers.Count(answer => answer));
    }

    [Fact]
    public async Task Verify_AllSlotsTaken_WaitsAndCanBeCancelled()
    {
        using var hasher = new PasswordHasher(new PasswordHasherOptions { MaxConcurrency = 1 });
        var hash = await hasher.HashAsync("x");
        using var cancellation = new CancellationTokenSource();
        var queued = Enumerable.Range(0, 20).Select(_ => hasher.VerifyAsync("x", hash, cancellation.Token)).ToList();
        await cancellation.CancelAsync();
        await Task.WhenAll(queued.Select(task => task.ContinueWith(_ => { }, TaskScheduler.Default)));
        Assert.InRange(queued.Count(task => task.IsCanceled), 10, 20);
        Assert.True(await hasher.VerifyAsync("x", hash));
    }
}

/// <summary>Counts allocations of the whole process, so nothing may run beside it.</summary>
[CollectionDefinition(DisableParallelization = true)]
public sealed class AloneInTheProcess;

[Collection(typeof(AloneInTheProcess))]
public sealed class PasswordHasherCostTests
{
    [Fact]
    public async Task Verify_UnknownUser_CostsAsMuchAsAKnownOne()
    {
        using var hasher = new PasswordHasher();
        var hash = await hasher.HashAsync("x");
        await hasher.VerifyAsync("y", hash);
        var known = await AllocatedBy(() => hasher.VerifyAsync("y", hash));
        var unknown = await AllocatedBy(() => hasher.VerifyAsync("y", null));

        // Argon2's memory stands for its time here, because it can be counted.
        Assert.InRange(known, 19_000_000, 60_000_000);
        Assert.InRange(unknown, known * 0.9, known * 1.1);
    }

    private static async Task<long> AllocatedBy(Func<Task> action)
    {
        var before = GC.GetTotalAllocatedBytes(precise: true);
        await action();
        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }
}

[Quick]
public sealed class VerifiedCredentialCacheTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void IsVerified_Remembered_UntilTheLifetimeEnds()
    {
        var cache = new VerifiedCredentialCache(_time, new VerifiedCredentialCacheOptions { Lifetime = TimeSpan.FromMinutes(1) });
        Assert.False(cache.IsVerified("u", "p", "h", AuthLevel.ReadOnly));
        cache.Remember("u", "p", "h", AuthLevel.ReadOnly);
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.True(cache.IsVerified("u", "p", "h", AuthLevel.ReadOnly));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(cache.IsVerified("u", "p", "h", AuthLevel.ReadOnly));
        cache.Remember("u", "p", "h", AuthLevel.ReadOnly);
        Assert.True(cache.IsVerified("u", "p", "h", AuthLevel.ReadOnly));
    }

    [Theory]
    [InlineData("v", "p", "h", AuthLevel.ReadOnly)]
    [InlineData("u", "q", "h", AuthLevel.ReadOnly)]
    [InlineData("u", "p", "i", AuthLevel.ReadOnly)]
    [InlineData("u", "p", "h", AuthLevel.Admin)]
    [InlineData("up", "", "h", AuthLevel.ReadOnly)]
    [InlineData("", "up", "h", AuthLevel.ReadOnly)]
    public void IsVerified_AnythingChanged_IsForgotten(string user, string password, string hash, AuthLevel level)
    {
        var cache = new VerifiedCredentialCache(_time);
        cache.Remember("u", "p", "h", AuthLevel.ReadOnly);
        Assert.False(cache.IsVerified(user, password, hash, level));
    }

    [Fact]
    public void Remember_MoreThanFit_ForgetsTheOldest()
    {
        var cache = new VerifiedCredentialCache(_time, new VerifiedCredentialCacheOptions { MaxEntries = 3 });
        for (var i = 0; i < 10; i++)
            cache.Remember($"u{i}", "p", "h", AuthLevel.ReadOnly);
        Assert.Equal(3, cache.Count);
        Assert.False(cache.IsVerified("u6", "p", "h", AuthLevel.ReadOnly));
        Assert.True(cache.IsVerified("u7", "p", "h", AuthLevel.ReadOnly));
    }
}

[Quick]
public sealed class CredentialVerifierTests : IDisposable
{
    private readonly PasswordHasher _hasher = new(new PasswordHasherOptions { Cost = new Argon2Cost(64, 1, 1) });
    private readonly VerifiedCredentialCache _cache = new(new FakeTimeProvider());

    public void Dispose() => _hasher.Dispose();

    [Fact]
    public async Task Verify_RightPassword_GivesTheLevelAndIsRemembered()
    {
        var verifier = new CredentialVerifier(_hasher, _cache);
        var stored = new StoredCredential(await _hasher.HashAsync("p"), AuthLevel.Callback);
        Assert.Equal(AuthLevel.Callback, (await verifier.VerifyAsync("u", "p", stored)).Level);
        Assert.Equal(1, _cache.Count);

        // A remembered credential needs no slot and no Argon2: it completes at once even if all slots were gone.
        var again = verifier.VerifyAsync("u", "p", stored);
        Assert.True(again.IsCompletedSuccessfully);
        Assert.Equal(AuthLevel.Callback, (await again).Level);
    }

    [Fact]
    public async Task Verify_WrongPasswordOrUnknownUser_IsNoneAndNotRemembered()
    {
        var verifier = new CredentialVerifier(_hasher, _cache);
        var stored = new StoredCredential(await _hasher.HashAsync("p"), AuthLevel.Admin);
        Assert.Equal(AuthLevel.None, (await verifier.VerifyAsync("u", "q", stored)).Level);
        Assert.Equal(AuthLevel.None, (await verifier.VerifyAsync("u", "p", null)).Level);
        Assert.Equal(0, _cache.Count);
    }

    [Fact]
    public async Task Verify_HashOfOtherCost_AsksForRehash()
    {
        using var other = new PasswordHasher(new PasswordHasherOptions { Cost = new Argon2Cost(128, 1, 1) });
        var stored = new StoredCredential(await other.HashAsync("p"), AuthLevel.Admin);
        Assert.True((await new CredentialVerifier(_hasher, _cache).VerifyAsync("u", "p", stored)).NeedsRehash);
    }

    [Fact]
    public void AuthLevel_Values_AreTheWires() =>
        Assert.Equal([0, 1, 2, 3, 4, 100], Enum.GetValues<AuthLevel>().Select(level => (int)level));
}
