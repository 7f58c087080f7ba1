using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Tests.Functions.Api;

/// <summary>
/// Keeps work that outlives a site away from its catalog. Microsoft's gRPC worker does not wait for its activities when it stops; one of
/// them could open the SQLite file while the test deletes its directory, and so create it again.
/// </summary>
public sealed class ConnectionGate : DbConnectionInterceptor
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<DbConnection> _open = new(ReferenceEqualityComparer.Instance);
    private bool _isClosing;

    /// <summary>Refuses connections from now on; completes when none is open.</summary>
    public Task CloseAsync()
    {
        lock (_lock)
        {
            _isClosing = true;
            if (_open.Count == 0)
                _closed.TrySetResult();
        }

        return _closed.Task;
    }

    public override InterceptionResult ConnectionOpening(DbConnection connection, ConnectionEventData eventData, InterceptionResult result)
    {
        Enter(connection);
        return result;
    }

    public override ValueTask<InterceptionResult> ConnectionOpeningAsync(
        DbConnection connection,
        ConnectionEventData eventData,
        InterceptionResult result,
        CancellationToken cancellationToken = default
    )
    {
        Enter(connection);
        return new(result);
    }

    public override void ConnectionFailed(DbConnection connection, ConnectionErrorEventData eventData) => Leave(connection);

    public override Task ConnectionFailedAsync(
        DbConnection connection,
        ConnectionErrorEventData eventData,
        CancellationToken cancellationToken = default
    )
    {
        Leave(connection);
        return Task.CompletedTask;
    }

    public override void ConnectionCanceled(DbConnection connection, ConnectionEndEventData eventData) => Leave(connection);

    public override Task ConnectionCanceledAsync(
        DbConnection connection,
        ConnectionEndEventData eventData,
        CancellationToken cancellationToken = default
    )
    {
        Leave(connection);
        return Task.CompletedTask;
    }

    public override void ConnectionClosed(DbConnection connection, ConnectionEndEventData eventData) => Leave(connection);

    public override Task ConnectionClosedAsync(DbConnection connection, ConnectionEndEventData eventData)
    {
        Leave(connection);
        return Task.CompletedTask;
    }

    // A context that is disposed with an open connection does not close it first.
    public override void ConnectionDisposed(DbConnection connection, ConnectionEndEventData eventData) => Leave(connection);

    public override Task ConnectionDisposedAsync(DbConnection connection, ConnectionEndEventData eventData)
    {
        Leave(connection);
        return Task.CompletedTask;
    }

    private void Enter(DbConnection connection)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isClosing, this);
            _open.Add(connection);
        }
    }

    private void Leave(DbConnection connection)
    {
        lock (_lock)
        {
            _open.Remove(connection);
            if (_open.Count == 0 && _isClosing)
                _closed.TrySetResult();
        }
    }
}
