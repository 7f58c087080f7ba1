using System.Net;
using System.Net.Http.Json;
using System.Reflection;
using System.Text;
using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Functions.Hosting;

[Quick]
public sealed class FunctionEndpointsTests
{
    [Fact]
    public async Task Http_Body_IsBound()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        using var response = await site.Client.PostAsJsonAsync("/api/v2/books", new Book("Almagest", 13));

        Assert.Equal("13 x Almagest", await response.Content.ReadFromJsonAsync<string>());
    }

    [Fact]
    public async Task Http_RouteAndQuery_AreBound()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        Assert.Equal("\"7 page 3 of GET\"", await site.Client.GetStringAsync("/api/v2/books/7?page=3"));
    }

    [Theory]
    [InlineData("{\"title\":")]
    [InlineData("{\"title\":\"x\",\"volumes\":\"many\"}")]
    [InlineData("")]
    public async Task Http_BadBody_SurfacesAsBadHttpRequest(string body)
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        using var response = await site.Client.PostAsync("/api/v2/books", new StringContent(body, Encoding.UTF8, "application/json"));

        Assert.Equal(418, (int)response.StatusCode);
        Assert.Equal("bad request 400", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Http_BodyOfAnotherType_IsRefusedByRouting()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        using var response = await site.Client.PostAsync("/api/v2/books", new StringContent("x", Encoding.UTF8, "text/plain"));

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public async Task Http_Instance_IsCreatedAndDisposedPerInvocation()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));
        var ledger = site.App.Services.GetRequiredService<Ledger>();

        await site.Client.GetStringAsync("/api/v2/books/1");
        await site.Client.GetStringAsync("/api/v2/books/2");
        await ledger.WhenDisposedAsync(2);

        Assert.Equal(2, ledger.Created);
    }

    [Fact]
    public async Task Http_StaticMethodAndRootRoute_AreServed()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        Assert.Equal("home", await site.Client.GetStringAsync("/"));
        using var elsewhere = await site.Client.GetAsync("/elsewhere");
        Assert.Equal(HttpStatusCode.NotFound, elsewhere.StatusCode);
    }

    [Fact]
    public async Task Http_Metadata_HasMethodAttributesAndBody()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf));

        var endpoint = site
            .App.Services.GetRequiredService<EndpointDataSource>()
            .Endpoints.Single(e => e.Metadata.GetMetadata<FunctionAttribute>()?.Name == "AddBook");

        Assert.Equal(typeof(Shelf).GetMethod(nameof(Shelf.Add)), endpoint.Metadata.GetMetadata<MethodInfo>());
        Assert.Equal("writers", endpoint.Metadata.GetMetadata<RequiresAttribute>()!.Role);
        Assert.Equal(["POST"], endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods);
        Assert.Equal(typeof(Book), endpoint.Metadata.GetMetadata<IAcceptsMetadata>()!.RequestType);
        Assert.Equal("AddBook", endpoint.Metadata.GetMetadata<IEndpointNameMetadata>()!.EndpointName);
    }

    [Fact]
    public async Task Http_DisabledFunction_IsNotMapped()
    {
        await using var site = await RunningSite.StartAsync(typeof(Shelf), ("AzureWebJobs.AddBook.Disabled", "true"));

        using var response = await site.Client.PostAsJsonAsync("/api/v2/books", new Book("Almagest", 13));

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    [Fact]
    public async Task Timer_StandAlone_HasNoAddress()
    {
        await using var site = await RunningSite.StartAsync(typeof(Clock));

        using var response = await site.Client.PostAsync("/Probe", content: null);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    [Fact]
    public async Task Run_ABackgroundServiceFails_EndsWithAnErrorThatNamesIt()
    {
        var log = new RecordingLogger();
        var builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders().AddProvider(new Recording(log));
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.AddFunctions(FunctionCatalog.Discover([typeof(Shelf)]));
        builder.Services.AddHostedService<FailingService>();

        Assert.Equal(SiteApplication.FatalExitCode, await builder.Build().RunFunctionsAsync().WaitAsync(TimerFixture.WaitTimeout));

        Assert.Contains(log.Lines, l =>
            l.Id == 1011
            && l.Text.Contains("FailingService failed", StringComparison.Ordinal)
            && l.Text.Contains("told to fail", StringComparison.Ordinal)
        );
    }

    private sealed class Recording(RecordingLogger logger) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => logger;

        public void Dispose() { }
    }

    private sealed class FailingService(IHostApplicationLifetime lifetime) : BackgroundService
    {
        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            var started = new TaskCompletionSource();
            await using (lifetime.ApplicationStarted.Register(started.SetResult))
                await started.Task;
            throw new InvalidOperationException("told to fail");
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class RequiresAttribute(string role) : Attribute
    {
        public string Role { get; } = role;
    }

    public sealed record Book(string Title, int Volumes);

    public sealed class Ledger : IDisposable
    {
        private readonly SemaphoreSlim _disposals = new(0);

        public int Created { get; set; }

        public void Dispose() => _disposals.Dispose();

        public void Disposed() => _disposals.Release();

        public async Task WhenDisposedAsync(int times)
        {
            for (var i = 0; i < times; i++)
                Assert.True(await _disposals.WaitAsync(TimerFixture.WaitTimeout));
        }
    }

    public sealed class Shelf : IAsyncDisposable
    {
        private readonly Ledger _ledger;

        public Shelf(Ledger ledger)
        {
            _ledger = ledger;
            ledger.Created++;
        }

        [Function("AddBook")]
        [Requires("writers")]
        public IResult Add(
            [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = "api/v2/books")] HttpRequest request,
            [FromBody] Book directory
        ) => Results.Ok($"{directory.Volumes} x {directory.Title}");

        [Function("GetBook")]
        public async Task<IResult> Get(
            [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/v2/books/{id:int}")] HttpRequest request,
            int id,
            int page = 1
        )
        {
            await Task.Yield();
            return Results.Ok($"{id} page {page} of {request.Method}");
        }

        [Function("Home")]
        public static string Home([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = FunctionRoute.Root)] HttpRequest request) =>
            "home";

        public ValueTask DisposeAsync()
        {
            _ledger.Disposed();
            return ValueTask.CompletedTask;
        }
    }

    public sealed class Clock(TimerProbe probe)
    {
        [Function("Probe")]
        public Task Run(
            [TimerTrigger("0 0 3 * * *", RunOnStartup = true, UseMonitor = false)] TimerInfo timer,
            CancellationToken cancellationToken
        ) => probe.RunAsync(timer, cancellationToken);
    }

    private sealed class RunningSite : IAsyncDisposable
    {
        public required WebApplication App { get; init; }

        public required HttpClient Client { get; init; }

        public static async Task<RunningSite> StartAsync(Type functions, params (string Key, string Value)[] settings)
        {
            var builder = WebApplication.CreateBuilder([.. settings.Select(s => $"--{s.Key}={s.Value}")]);
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            builder.AddFunctions(FunctionCatalog.Discover([functions]));
            builder.Services.AddSingleton<ITimerStatusStore, InMemoryTimerStatusStore>().AddSingleton<TimerProbe>().AddSingleton<Ledger>();
            var app = builder.Build();
            app.Use(
                async (context, next) =>
                {
                    try
                    {
                        await next();
                    }
                    catch (BadHttpRequestException exception)
                    {
                        context.Response.StatusCode = 418;
                        await context.Response.WriteAsync($"bad request {exception.StatusCode}");
                    }
                }
            );
            app.MapFunctions();
            await app.StartAsync();
            return new RunningSite
            {
                App = app,
                Client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()), Timeout = TimerFixture.WaitTimeout },
            };
        }

        public async ValueTask DisposeAsync()
        {
            Client.Dispose();
            await App.StopAsync();
            await App.DisposeAsync();
        }
    }
}
