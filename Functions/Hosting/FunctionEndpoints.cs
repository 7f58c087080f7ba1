using System.Reflection;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Hosting;

/// <summary>Maps the site's HTTP functions to ASP.NET Core endpoints.</summary>
public static class FunctionEndpoints
{
    private static readonly string[] MethodsWithoutBody = [HttpMethods.Get, HttpMethods.Delete, HttpMethods.Head, HttpMethods.Options];

    /// <summary>
    /// Maps every enabled HTTP function with ASP.NET Core's own parameter binding. The endpoint's metadata holds the
    /// <see cref="MethodInfo"/>, the attributes of class and method, and what binding infers (body, response types).
    /// </summary>
    /// <returns>The group of HTTP functions, for conventions such as filters.</returns>
    public static IEndpointConventionBuilder MapFunctions(this IEndpointRouteBuilder endpoints)
    {
        var services = endpoints.ServiceProvider;
        var catalog = services.GetRequiredService<FunctionCatalog>();
        var configuration = services.GetRequiredService<IConfiguration>();
        var logger = services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(FunctionEndpoints).FullName!);
        var group = endpoints.MapGroup("");
        foreach (var function in catalog.HttpFunctions)
        {
            if (!function.IsOffered(configuration))
                continue;
            if (function.IsDisabled(configuration))
                Logs.FunctionDisabled(logger, function.Name);
            else
                MapHttp(group, function, services);
        }

        return group;
    }

    private static void MapHttp(RouteGroupBuilder group, HttpFunction function, IServiceProvider services)
    {
        var pattern = RoutePatternFactory.Parse(function.Route);
        var inferred = new RouteEndpointBuilder(requestDelegate: null, pattern, order: 0) { ApplicationServices = services };
        inferred.Metadata.Add(function.Method);
        foreach (var attribute in function.Method.DeclaringType!.GetCustomAttributes(inherit: true))
            inferred.Metadata.Add(attribute);
        foreach (var attribute in function.Method.GetCustomAttributes(inherit: true))
            inferred.Metadata.Add(attribute);
        inferred.Metadata.Add(new EndpointNameMetadata(function.Name));

        var options = new RequestDelegateFactoryOptions
        {
            ServiceProvider = services,
            RouteParameterNames = pattern.Parameters.Select(p => p.Name),
            ThrowOnBadRequest = services.GetRequiredService<IOptions<RouteHandlerOptions>>().Value.ThrowOnBadRequest,
            DisableInferBodyFromParameters = function.Methods.Any(m => MethodsWithoutBody.Contains(m, StringComparer.Ordinal)),
            EndpointBuilder = inferred,
        };
        var metadata = RequestDelegateFactory.InferMetadata(function.Method, options);
        // Compiled at the first call, because compiling all would take most of a site's start. A signature that cannot be bound was refused
        // above.
        var compiled = new Lazy<RequestDelegate>(() =>
            RequestDelegateFactory.Create(function.Method, TargetFactory(function.Method), options, metadata).RequestDelegate
        );
        group
            .MapMethods(function.Route, function.Methods, context => compiled.Value(context))
            .WithMetadata([.. metadata.EndpointMetadata])
            .WithDisplayName($"{function.Name} ({string.Join(' ', function.Methods)} {function.Route})");
    }

    private static Func<HttpContext, object>? TargetFactory(MethodInfo method)
    {
        if (method.IsStatic)
            return null;
        var create = ActivatorUtilities.CreateFactory(method.DeclaringType!, Type.EmptyTypes);
        return context =>
        {
            var instance = create(context.RequestServices, null);
            if (instance is IAsyncDisposable asyncDisposable)
                context.Response.RegisterForDisposeAsync(asyncDisposable);
            else if (instance is IDisposable disposable)
                context.Response.RegisterForDispose(disposable);
            return instance;
        };
    }
}
