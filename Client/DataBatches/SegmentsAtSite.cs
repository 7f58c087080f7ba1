using Librarian.Client.Wire;

namespace Librarian.Client.DataBatches;

/// <summary>Up to which position the site has every byte of a batch.</summary>
internal sealed class SegmentsAtSite
{
    private readonly DataBatchState _batch;
    private readonly Lock _lock = new();
    private readonly HashSet<int> _ahead = [];
    private int _first;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal SegmentsAtSite(DataBatchState batch)
    {
        _batch = batch;
        Advance();
    }

    /// <summary>Notes a segment that the site has.</summary>
    internal void Add(int segment)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            _ahead.Add(segment);
            Advance();
            (changed, _changed) = (_changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.SetResult();
    }

    /// <summary>Waits until the site has every byte before a position.</summary>
    internal async Task UntilAsync(long position, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (Math.Min(_batch.TotalBytes, (long)_first * _batch.SegmentBytes) >= position)
                    return;
                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellationToken);
        }
    }

    private void Advance()
    {
        while (_first < _batch.Segments && (_batch.IsComplete(_first) || _ahead.Remove(_first)))
            _first++;
    }
}
