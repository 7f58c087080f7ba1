using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;

namespace Librarian.Bench.Http;

/// <summary>Request times in milliseconds.</summary>
internal sealed class Samples
{
    private readonly List<double> _times = [];

    public int Count => _times.Count;

    public double P50 => At(0.50);

    public double P99 => At(0.99);

    public void Add(double milliseconds)
    {
        lock (_times)
            _times.Add(milliseconds);
    }

    private double At(double share)
    {
        var sorted = _times.Order().ToList();
        return sorted.Count == 0 ? double.NaN : sorted[(int)Math.Ceiling(share * sorted.Count) - 1];
    }
}

/// <summary>
/// A closed loop on one account: every client sends its next request after it has read the answer to the last one, over a connection that
/// it keeps. Only sending and reading is measured; an unexpected answer ends the run.
/// </summary>
internal sealed class Load : IDisposable
{
    private readonly HttpClient _http;

    public Load(string url, string user, string password)
    {
        _http = new HttpClient(
            new SocketsHttpHandler
            {
                UseCookies = false,
                UseProxy = false,
                ActivityHeadersPropagator = null,
            }
        )
        {
            BaseAddress = new Uri(url + "/api/v2/"),
        };
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.ASCII.GetBytes($"{user}:{password}"))
        );
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Sends one request and returns the milliseconds until its answer was read.</summary>
    public async Task<double> PostAsync(string path, byte[] body, int expected = 200)
    {
        var start = Stopwatch.GetTimestamp();
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using var response = await _http.PostAsync(path, content);
        var answer = await response.Content.ReadAsByteArrayAsync();
        var elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        return (int)response.StatusCode == expected
            ? elapsed
            : throw new InvalidOperationException(
                $"{path} {Encoding.UTF8.GetString(body)} was answered with {(int)response.StatusCode}: {Encoding.UTF8.GetString(answer)}"
            );
    }

    /// <summary>Sends equal requests by several clients and returns the total duration.</summary>
    public async Task<TimeSpan> RunAsync(string path, byte[] body, int requests, int clients)
    {
        var left = requests;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(
            Enumerable
                .Range(0, clients)
                .Select(_ =>
                    Task.Run(async () =>
                    {
                        while (Interlocked.Decrement(ref left) >= 0)
                            await PostAsync(path, body);
                    })
                )
        );
        return watch.Elapsed;
    }
}
