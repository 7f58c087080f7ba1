using System.Security.Cryptography;
using System.Text;
using Konscious.Security.Cryptography;

namespace Librarian.Domain.Accounts;

public sealed record PasswordHasherOptions
{
    /// <summary>Cost of new hashes.</summary>
    public Argon2Cost Cost { get; init; } = new();

    /// <summary>
    /// Most computations at the same time; further ones wait. Bounds memory: each needs the hash's own <see cref="Argon2Cost.MemoryKiB"/>.
    /// </summary>
    public int MaxConcurrency { get; init; } = Math.Max(1, Environment.ProcessorCount);
}

/// <summary>Computes and verifies Argon2id password hashes, a bounded number at a time.</summary>
public sealed class PasswordHasher : IDisposable
{
    private const int SaltLength = 16;
    private const int HashLength = 32;

    private readonly PasswordHasherOptions _options;
    private readonly SemaphoreSlim _slots;
    private readonly PasswordHash _dummy;
    private long _computations;

    /// <summary>Argon2 computations since the start: the cost of passwords that were not in the cache.</summary>
    public long Computations => Interlocked.Read(ref _computations);

    /// <param name="options">Null for the defaults.</param>
    public PasswordHasher(PasswordHasherOptions? options = null)
    {
        _options = options ?? new PasswordHasherOptions();
        _slots = new SemaphoreSlim(_options.MaxConcurrency);
        _dummy = PasswordHash.Create(_options.Cost, RandomNumberGenerator.GetBytes(SaltLength), RandomNumberGenerator.GetBytes(HashLength));
    }

    /// <inheritdoc/>
    public void Dispose() => _slots.Dispose();

    /// <summary>Hashes a new password with a fresh salt.</summary>
    /// <returns>The PHC string to store.</returns>
    public async Task<string> HashAsync(string password, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(password);
        var salt = RandomNumberGenerator.GetBytes(SaltLength);
        return PasswordHash
            .Create(_options.Cost, salt, await ComputeAsync(password, salt, _options.Cost, HashLength, cancellationToken))
            .ToString();
    }

    /// <summary>
    /// Whether the password matches the stored hash, with the hash's own parameters. A stored text that is not an Argon2id hash never
    /// matches. With null (no such user) the answer is false after the same work, so that the time does not show who exists.
    /// </summary>
    public async Task<bool> VerifyAsync(string password, string? storedHash, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(password);
        var known = PasswordHash.TryParse(storedHash, out var hash);
        hash ??= _dummy;
        // Nobody has an empty password, and Argon2 accepts none; it costs as much as any wrong one.
        var computed = await ComputeAsync(
            password.Length == 0 ? "\0" : password,
            hash.Salt,
            hash.Cost,
            hash.Hash.Length,
            cancellationToken
        );
        return CryptographicOperations.FixedTimeEquals(computed, hash.Hash) && known && password.Length > 0;
    }

    /// <summary>
    /// Whether a stored hash should be replaced at the next successful login because its cost or length is not that of new hashes.
    /// </summary>
    public bool NeedsRehash(string storedHash) =>
        !PasswordHash.TryParse(storedHash, out var hash) || hash.Cost != _options.Cost || hash.Hash.Length != HashLength;

    private async Task<byte[]> ComputeAsync(string password, byte[] salt, Argon2Cost cost, int length, CancellationToken cancellationToken)
    {
        await _slots.WaitAsync(cancellationToken);
        Interlocked.Increment(ref _computations);
        try
        {
            return await Task.Run(
                () =>
                {
                    using var argon2 = new Argon2id(Encoding.UTF8.GetBytes(password))
                    {
                        Salt = salt,
                        MemorySize = cost.MemoryKiB,
                        Iterations = cost.Iterations,
                        DegreeOfParallelism = cost.Parallelism,
                    };
                    return argon2.GetBytes(length);
                },
                cancellationToken
            );
        }
        finally
        {
            _slots.Release();
        }
    }
}
