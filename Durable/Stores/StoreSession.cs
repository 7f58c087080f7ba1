using System.Data.Common;

namespace Librarian.Durable.Stores;

/// <summary>A connection in use, with or without a transaction.</summary>
internal abstract class StoreSession : IAsyncDisposable
{
    public abstract DbConnection Connection { get; }

    public abstract DbTransaction? Transaction { get; }

    /// <summary>
    /// Runs statements in order and checks <see cref="SqlStatement.ExpectedRows"/>; a mismatch throws <see cref="FenceException"/>.
    /// </summary>
    public abstract Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken);

    /// <summary>Runs statements in order and passes every result row to <paramref name="read"/> with the index of its statement.</summary>
    public abstract Task QueryAsync(
        IReadOnlyList<SqlStatement> statements,
        Action<int, DbDataReader> read,
        CancellationToken cancellationToken
    );

    public async Task<int> ExecuteAsync(SqlStatement statement, CancellationToken cancellationToken) =>
        (await ExecuteAsync([statement], cancellationToken))[0];

    public async Task<List<T>> QueryAsync<T>(SqlStatement statement, Func<DbDataReader, T> read, CancellationToken cancellationToken)
    {
        var rows = new List<T>();
        await QueryAsync([statement], (_, reader) => rows.Add(read(reader)), cancellationToken);
        return rows;
    }

    public abstract Task CommitAsync(CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}
